//! Patterns of policies: the matcher agrees with one that is plainly right.
#![no_main]

use coffre_policy::Pattern;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: (&str, &str)| {
    let (pattern, path) = data;
    let Ok(parsed) = Pattern::parse(pattern) else { return };
    let pattern = pattern.trim_start_matches('/');
    assert_eq!(parsed.matches(path), plainly(pattern, path), "pattern {pattern:?} path {path:?}");
});

/// Segment by segment: `+` is one segment that is not empty, `*` at the very end is any rest.
fn plainly(pattern: &str, path: &str) -> bool {
    let (body, is_prefix) = pattern.strip_suffix('*').map_or((pattern, false), |body| (body, true));
    let wanted: Vec<&str> = body.split('/').collect();
    let given: Vec<&str> = path.split('/').collect();
    if given.len() < wanted.len() || (!is_prefix && given.len() != wanted.len()) {
        return false;
    }
    wanted.iter().zip(&given).enumerate().all(|(at, (wanted, given))| {
        let last = at + 1 == wanted_len(body);
        if is_prefix && last && *wanted != "+" {
            given.starts_with(wanted)
        } else {
            *wanted == *given && *wanted != "+" || *wanted == "+" && !given.is_empty()
        }
    })
}

fn wanted_len(body: &str) -> usize {
    body.split('/').count()
}
