//! What a consumer says, to whom and when, under lost answers, names that others hold and clocks that are wrong.

use super::*;

const fn s(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn speaker() -> Speaker<&'static str> {
    Speaker::new(s(300), s(3600))
}

fn of(epoch: u64, refusals: u32) -> Vec<(&'static str, ConsumerId, Statement)> {
    let statement = Statement { epoch, in_use: 1, frozen: false, refusals };
    vec![("jwt", ConsumerId::of("api", "web", "b", "1"), statement)]
}

fn tell(speaker: &mut Speaker<&'static str>, now: u64, epoch: u64, refusals: u32, fate: Fate) -> bool {
    let wall = Wall::from_secs(1_000 + now);
    let words = speaker.pick(s(now), wall, of(epoch, refusals));
    let some = !words.is_empty();
    let told = words.into_iter().map(|word| (word, fate)).collect();
    speaker.told(s(now), (wall, None), told);
    some
}

/// What would be said now: epoch, name, version, end.
fn next(speaker: &mut Speaker<&'static str>, now: u64) -> Option<(u64, String, u64, u64)> {
    let word = speaker.pick(s(now), Wall::from_secs(1_000 + now), of(9, 0)).pop()?;
    let said = (word.ack.epoch, word.ack.consumer.to_string(), word.cas, word.ack.expires.secs());
    speaker.told(s(now), (Wall::from_secs(0), None), vec![(word, Fate::Lost)]);
    Some(said)
}

#[test]
fn it_is_said_when_it_changes_and_before_it_ends() {
    let mut speaker = speaker();
    assert!(speaker.is_due(s(0)) && tell(&mut speaker, 0, 1, 0, Fate::Written(1)));
    assert!(!tell(&mut speaker, 100, 1, 0, Fate::Written(2)), "nothing new");
    assert!(tell(&mut speaker, 100, 2, 0, Fate::Written(2)), "another epoch is said at once");
    assert_eq!(speaker.wake_at(), Some(s(370)));
    assert!(!tell(&mut speaker, 105, 2, 3, Fate::Written(3)), "refused logins wait a moment");
    assert_eq!(speaker.wake_at(), Some(s(110)));
    assert!(tell(&mut speaker, 110, 2, 3, Fate::Written(3)));
    let last = speaker.farewell(Wall::from_secs(2_000)).remove(0);
    assert_eq!((last.ack.expires, last.ack.epoch, last.cas), (Wall::from_secs(2_000), 2, 3));
}

#[test]
fn what_did_not_arrive_is_said_again_and_what_is_not_allowed_less_often() {
    let mut speaker = speaker();
    tell(&mut speaker, 0, 1, 0, Fate::Lost);
    assert_eq!(speaker.wake_at(), Some(s(5)));
    assert!(
        !tell(&mut speaker, 4, 2, 0, Fate::Written(1)),
        "a server that is away is not asked at each change"
    );
    tell(&mut speaker, 5, 1, 0, Fate::Denied);
    assert!(speaker.denied && speaker.wake_at() == Some(s(305)));
    assert!(speaker.farewell(Wall::from_secs(1)).is_empty(), "nothing was said");
}

#[test]
fn a_lost_answer_and_a_cleared_name_are_no_reason_for_another_name() {
    let mut speaker = speaker();
    tell(&mut speaker, 0, 1, 0, Fate::Written(4));
    tell(&mut speaker, 1, 2, 0, Fate::Lost);
    tell(&mut speaker, 6, 2, 0, Fate::Conflict);
    let name = "api.web.b.1".to_owned();
    assert_eq!(next(&mut speaker, 6), Some((9, name.clone(), 5, 1_006 + 3_720)), "the lost one landed");
    let mut speaker = self::speaker();
    tell(&mut speaker, 0, 1, 0, Fate::Written(4));
    tell(&mut speaker, 1, 2, 0, Fate::Conflict);
    assert_eq!(next(&mut speaker, 1), Some((9, name, 0, 1_001 + 3_720)), "somebody cleared it away");
}

#[test]
fn a_name_that_somebody_else_has_is_left_to_them() {
    let mut speaker = speaker();
    let words = speaker.pick(s(0), Wall::from_secs(0), of(1, 0));
    let told = words.into_iter().map(|word| (word, Fate::Conflict)).collect();
    let troubles = speaker.told(s(0), (Wall::from_secs(0), None), told);
    assert_eq!(troubles, [Trouble::Taken(ConsumerId::of("api", "web", "b", "1"))]);
    assert_eq!(next(&mut speaker, 0).map(|said| (said.1, said.2)), Some(("api.web.b.1-2".to_owned(), 0)));
}

#[test]
fn a_wrong_clock_is_corrected_by_the_servers_at_once() {
    let mut speaker = speaker();
    let words = speaker.pick(s(0), Wall::from_secs(100_000), of(1, 0));
    assert_eq!(words[0].ack.expires.secs(), 103_720);
    let told = words.into_iter().map(|word| (word, Fate::Written(1))).collect();
    speaker.told(s(0), (Wall::from_secs(100_000), Some(Wall::from_secs(200_000))), told);
    let again = speaker.pick(s(0), Wall::from_secs(100_000), of(1, 0));
    assert_eq!((again[0].ack.expires.secs(), again[0].cas), (203_720, 1));
    let told = again.into_iter().map(|word| (word, Fate::Written(2))).collect();
    speaker.told(s(0), (Wall::from_secs(100_000), Some(Wall::from_secs(200_001))), told);
    assert!(speaker.pick(s(1), Wall::from_secs(100_001), of(1, 0)).is_empty(), "once");
}

#[test]
fn what_is_forgotten_takes_leave_once() {
    let mut speaker = speaker();
    tell(&mut speaker, 0, 1, 0, Fate::Written(1));
    speaker.forget(|key| *key == "jwt");
    let words = speaker.pick(s(1), Wall::from_secs(5_000), Vec::new());
    assert_eq!(words[0].ack.expires.secs(), 5_000);
    let told = words.into_iter().map(|word| (word, Fate::Written(2))).collect();
    speaker.told(s(1), (Wall::from_secs(5_000), None), told);
    assert!(speaker.pick(s(2), Wall::from_secs(5_001), Vec::new()).is_empty());
    assert_eq!(speaker.wake_at(), None, "there is nothing to come");
    let back = speaker.pick(s(3), Wall::from_secs(5_002), of(1, 0)).remove(0);
    assert_eq!((back.ack.consumer.as_str(), back.cas), ("api.web.b.1", 2), "its name is still its own");
}

#[test]
fn what_is_absent_for_a_while_is_said_in_time_when_it_is_back() {
    let mut speaker = speaker();
    tell(&mut speaker, 0, 1, 0, Fate::Written(1));
    assert!(speaker.pick(s(300), Wall::from_secs(1_300), Vec::new()).is_empty());
    assert!(speaker.wake_at().is_none(), "not a wish that nobody can grant");
    assert!(tell(&mut speaker, 300, 1, 0, Fate::Written(2)));
}
