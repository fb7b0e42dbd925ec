//! Ctrl-C for verbs that end in order.

use tokio::signal::unix::{SignalKind, signal};

/// Calls back at each SIGINT or SIGTERM, with how many there were, on a thread of its own.
pub fn on_interrupt(mut call: impl FnMut(u32) + Send + 'static) -> crate::Result {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let both = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::Builder::new().name("interrupt".to_owned()).spawn(move || {
        let (mut interrupt, mut terminate) = both;
        let mut times = 0;
        loop {
            runtime.block_on(async {
                tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
            });
            times += 1;
            call(times);
        }
    })?;
    Ok(())
}
