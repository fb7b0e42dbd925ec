//! What images hold, and what they never hold.

use super::*;
use crate::disk::Note;

fn write(file: FileId, at: u64, fill: u8, length: usize) -> Op {
    Op::Write { file, at, data: vec![fill; length].into() }
}

fn found(file: FileId) -> Op {
    Op::Found { file, name: format!("f{file}"), bytes: vec![].into() }
}

fn images(log: &[Op], style: Style, n: u64) -> Vec<Image> {
    let mut replay = Replay::new(log);
    while replay.step().is_some() {}
    (0..n).map(|seed| replay.image(style, &mut Random::new(seed))).collect()
}

#[test]
fn what_was_synced_is_in_every_image_and_the_rest_in_some() {
    let log =
        [found(0), write(0, 0, 1, 4096), Op::Sync { file: 0, upto: 2 }, write(0, 0, 2, 4096), write(0, 4096, 3, 4096)];
    for style in STYLES {
        for image in images(&log, style, 40) {
            let bytes = &image["f0"];
            assert!(bytes.len() >= 4096, "{style:?}");
            let whole = bytes[..4096].chunks(512).all(|s| s.iter().all(|b| *b == 1) || s.iter().all(|b| *b == 2));
            assert!(whole || matches!(style, Style::Torn(_)), "{style:?} tore a sector");
        }
    }
    assert_eq!(images(&log, Style::Bare, 1)[0]["f0"], [1; 4096]);
    assert_eq!(images(&log, Style::Whole, 1)[0]["f0"].len(), 8192);
    assert!(images(&log, Style::Sectors(512), 40).iter().any(|i| i["f0"].contains(&1) && i["f0"].contains(&2)));
    assert!(images(&log, Style::ZeroTail, 1)[0]["f0"].ends_with(&[0; 4096]));
    let lengths = |i: &Image| i["f0"].len();
    assert!(
        images(&log, Style::Prefix, 40).iter().any(|i| lengths(i) > 4096 && lengths(i) < 8192),
        "a torn last write"
    );
}

#[test]
fn sync_covers_only_what_was_written_before_it_began() {
    let log = [found(0), write(0, 0, 1, 512), write(0, 512, 2, 512), Op::Sync { file: 0, upto: 2 }];
    assert_eq!(images(&log, Style::Bare, 1)[0]["f0"], [1; 512]);
}

#[test]
fn name_is_there_only_after_its_folder_was_synced() {
    let log = [Op::Create { file: 0, name: "f0".into() }, write(0, 0, 1, 512), Op::Sync { file: 0, upto: 2 }];
    assert!(images(&log, Style::Bare, 1)[0].is_empty());
    assert!(images(&log, Style::Whole, 1)[0].contains_key("f0"));
    let some = images(&log, Style::Sectors(512), 60);
    assert!(some.iter().any(|i| i.is_empty()) && some.iter().any(|i| i.len() == 1));
    let mut log = log.to_vec();
    log.push(Op::SyncFolder { upto: 3 });
    log.push(Op::Unlink { file: 0 });
    assert_eq!(images(&log, Style::Bare, 1)[0]["f0"], [1; 512]);
    assert!(images(&log, Style::Whole, 1)[0].is_empty());
}

#[test]
fn failed_sync_leaves_doubt_that_no_later_one_removes() {
    let log = [
        found(0),
        write(0, 0, 1, 512),
        Op::SyncFailed { file: 0 },
        write(0, 512, 2, 512),
        Op::Sync { file: 0, upto: 4 },
        Op::Note(Note::Sent(1)),
    ];
    let bare = &images(&log, Style::Bare, 1)[0]["f0"];
    assert_eq!((&bare[..512], &bare[512..]), (&[0; 512][..], &[2; 512][..]));
    let mut log = log.to_vec();
    log.push(Op::Truncate { file: 0, size: 0 });
    log.push(Op::Sync { file: 0, upto: 7 });
    assert!(images(&log, Style::Whole, 1)[0]["f0"].is_empty(), "the cut is durable");
}
