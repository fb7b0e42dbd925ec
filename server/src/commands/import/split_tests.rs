//! What the splitter makes of good, bad and hostile input.

use super::*;
use std::io::Read;

const MAX: usize = 1 << 16;

fn split(input: impl Read, path: &[&str]) -> (Vec<Result<String, String>>, Option<String>) {
    let mut splitter = Splitter::new(input, path.iter().map(|p| (*p).to_owned()).collect(), MAX);
    let mut found = Vec::new();
    loop {
        match splitter.next() {
            Ok(Some(piece)) => {
                assert_eq!(piece.number, found.len() as u64 + 1);
                found.push(piece.text.map(|t| String::from_utf8(t).unwrap()));
            }
            Ok(None) => return (found, None),
            Err(stopped) => return (found, Some(stopped.why)),
        }
    }
}

fn good(input: &str, path: &[&str]) -> Vec<String> {
    let (found, stopped) = split(input.as_bytes(), path);
    assert_eq!(stopped, None, "{input}");
    found.into_iter().map(|d| d.unwrap()).collect()
}

#[test]
fn lines_arrays_and_single_values_are_split() {
    assert_eq!(good("{\"a\":1}\n{\"a\":2}\r\n\n{\"a\":3}", &[]), ["{\"a\":1}", "{\"a\":2}", "{\"a\":3}"]);
    assert_eq!(good(" [ {\"a\":[1]} , 2,\"x,]\" , null ] ", &[]), ["{\"a\":[1]}", "2", "\"x,]\"", "null"]);
    assert_eq!(good("\u{feff}{\n \"a\": 1\n}\n{\n}", &[]), ["{\n \"a\": 1\n}", "{\n}"]);
    assert_eq!(good("[1][2,3] 4\n", &[]), ["1", "2", "3", "4"]);
    assert!(good("", &[]).is_empty());
    assert!(good("[]", &[]).is_empty());
}

#[test]
fn a_path_leads_to_the_documents_past_everything_else() {
    let text = r#"{"x":{"b":[9]},"a":{"c":"]","b":[{"n":1},{"n":2}],"d":[1]},"y":[3]}"#;
    assert_eq!(good(text, &["a", "b"]), [r#"{"n":1}"#, r#"{"n":2}"#]);
    assert_eq!(good(r#"{"p":{"n":1}} {"p":[2]}"#, &["p"]), [r#"{"n":1}"#, "2"]);
    assert_eq!(good(r#"{"\u0070":[1]}"#, &["p"]), ["1"]);
    let (found, stopped) = split(r#"{"a":[1]}"#.as_bytes(), &["b"]);
    assert!(found.is_empty() && stopped.unwrap().contains("no member .b"));
    let (found, stopped) = split("".as_bytes(), &["b"]);
    assert!(found.is_empty() && stopped.unwrap().contains("no member .b"), "what failed before the pipe wrote nothing");
}

#[test]
fn a_broken_line_leaves_its_neighbours_alone() {
    for broken in ["{\"a\":", "{\"a\":\"x", "{\"a\":[1}}", "}", "{\"a\":{{{{", "]"] {
        let text = format!("{{\"n\":1}}\n{broken}\n{{\"n\":3}}\n{{\"n\":4}}\n");
        let (found, stopped) = split(text.as_bytes(), &[]);
        assert_eq!(stopped, None, "{broken}");
        let oks: Vec<_> = found.iter().map(|d| d.is_ok()).collect();
        assert_eq!(oks, [true, false, true, true], "{broken}: {found:?}");
    }
}

#[test]
fn a_broken_first_line_is_given_up_for_the_second() {
    let text = format!("{{\"a\":\"x\n{}", "{\"n\":2}\n".repeat(20_000));
    let (found, stopped) = split(text.as_bytes(), &[]);
    assert_eq!((found.len(), stopped), (20_001, None));
    assert!(found[0].is_err() && found[1..].iter().all(|d| d.is_ok()));
}

#[test]
fn a_number_at_the_end_may_have_been_cut_off() {
    for (text, numbers) in [("12", 1), ("-1.5e3", 1), ("{}\n{}\n12", 3), ("[1,2] 3", 3)] {
        let (found, stopped) = split(text.as_bytes(), &[]);
        assert_eq!((found.len(), stopped), (numbers, None), "{text}");
        assert!(found[numbers - 1].as_ref().unwrap_err().contains("end the input with a new line"), "{text}");
        let (found, _) = split(format!("{text}\n").as_bytes(), &[]);
        assert!(found[numbers - 1].is_ok(), "{text}");
    }
    assert_eq!(good("true", &[]), ["true"], "nothing longer begins with it");
    assert_eq!(good("{\"n\":12}", &[]), ["{\"n\":12}"]);
}

#[test]
fn places_name_line_and_byte() {
    let text = "{\"n\":1}\n\n{\"n\":22}\n  {\"n\":3}";
    let mut splitter = Splitter::new(text.as_bytes(), Vec::new(), MAX);
    let mut places = Vec::new();
    while let Some(piece) = splitter.next().unwrap() {
        places.push((piece.place.line, piece.place.offset));
    }
    assert_eq!(places, [(1, 0), (3, 9), (4, 20)]);
}

#[test]
fn an_array_that_breaks_off_gives_what_came_before() {
    for text in ["[{\"n\":1},{\"n\":2},{\"n\"", "[{\"n\":1},{\"n\":2} {\"n\":3}]", "[{\"n\":1},{\"n\":2},{]"] {
        let (found, stopped) = split(text.as_bytes(), &[]);
        assert_eq!(found.len(), 2, "{text}");
        assert!(stopped.is_some(), "{text}");
    }
}

#[test]
fn a_too_large_element_is_named_and_the_next_go_on() {
    let text = format!("[1,\"{}\",3]", "x".repeat(3 * MAX));
    let (found, stopped) = split(text.as_bytes(), &[]);
    assert_eq!(stopped, None);
    assert!(found[1].as_ref().unwrap_err().contains("larger than"));
    assert_eq!(found[2], Ok("3".to_owned()));
}

#[test]
fn garbage_ends_with_a_reason() {
    for text in ["<html>\n<body>\n</body>\n", "\u{0}\u{1}\n\u{2}", "a,b,c\n1,2,3\n"] {
        let (found, _) = split(text.as_bytes(), &[]);
        assert!(found.iter().all(|d| {
            d.as_deref().map_or(true, |t| serde_json::from_str::<serde_json::Value>(t).is_err() || t.len() < 3)
        }));
    }
    assert!(split(&b"[1,2"[..], &["a"]).1.is_some());
    assert!(split(&b"{\"a\" 1}"[..], &["a"]).1.is_some());
}

#[test]
fn an_array_of_any_length_needs_no_memory() {
    /// `[`, then so many elements, then `]`, made as they are read.
    struct Long(u64, u64);
    impl Read for Long {
        fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
            let text: &[u8] = match self.0 {
                0 => b"[{\"x\":\"0123456789012345678901234567890123456789\"}",
                n if n < self.1 => b",{\"x\":\"0123456789012345678901234567890123456789\"}",
                n if n == self.1 => b"]",
                _ => return Ok(0),
            };
            self.0 += 1;
            to[..text.len()].copy_from_slice(text);
            Ok(text.len())
        }
    }
    let mut splitter = Splitter::new(Long(0, 100_000), Vec::new(), MAX);
    let mut count = 0_u64;
    while let Some(piece) = splitter.next().unwrap() {
        assert!(piece.text.unwrap().capacity() < 256);
        count += 1;
    }
    assert_eq!(count, 100_000);
}

proptest::proptest! {
    #[test]
    fn whatever_comes_in_the_splitter_ends(bytes in proptest::collection::vec(proptest::sample::select(b"{}[]\",:\\\n 1a".to_vec()), 0..200), path in 0..2_usize) {
        let path: &[&str] = if path == 0 { &[] } else { &["a"] };
        let mut splitter = Splitter::new(&bytes[..], path.iter().map(|p| (*p).to_owned()).collect(), 64);
        let mut count = 0;
        while let Ok(Some(_)) = splitter.next() {
            count += 1;
            proptest::prop_assert!(count <= bytes.len());
        }
    }

    #[test]
    fn lines_of_values_come_out_as_they_went_in(values in proptest::collection::vec("[a-z\"\\\\{}\\[\\]\n,:]{0,20}", 0..20)) {
        let lines: Vec<String> = values.iter().map(|v| serde_json::json!({ "v": v }).to_string()).collect();
        proptest::prop_assert_eq!(good(&lines.join("\n"), &[]), lines.clone());
        proptest::prop_assert_eq!(good(&format!("[{}]", lines.join(" , ")), &[]), lines);
    }
}
