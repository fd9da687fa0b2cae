//! 403, look-up, login: a token that expires causes no error, and a "no" of the server is believed after proof.

mod lab;

use coffre_cache::{
    Command, Event, Failure, LoginFailed, LookedUp, Note, Outcome, Refusal, Settings, State, TokenGrant,
    TokenRenewed,
};
use lab::{FOREVER, Lab, document, s};

const HOUR: TokenGrant = TokenGrant { ttl: Some(s(3600)), renewable: false, hard: None };

#[test]
fn the_first_request_waits_for_the_login() {
    let mut lab = Lab::with(Settings::new(1));
    let (a, b) = (lab.add(), lab.add());
    let readers = [lab.ask(a), lab.ask(b)];
    assert!(lab.login().is_some());
    assert_eq!(lab.login(), None, "one login for all");
    assert_eq!(lab.flight(a), None);
    lab.grant(FOREVER);
    lab.land(a, Outcome::Fetched(document(1)));
    lab.land(b, Outcome::Fetched(document(2)));
    assert!(readers.iter().all(|reader| lab.answer(*reader).unwrap().is_ok()));
}

#[test]
fn a_403_is_believed_after_the_token_was_proven_good() {
    let mut lab = Lab::with(Settings::new(1));
    lab.grant(FOREVER);
    let (a, b) = (lab.add(), lab.add());
    lab.fill(a, 1);
    lab.pass(s(301));
    assert_eq!(lab.value(a), 1);
    let reader = lab.ask(b);
    lab.land(a, Outcome::Denied);
    lab.land(b, Outcome::Denied);
    assert_eq!(lab.value(a), 1, "not yet the server's last word");
    let generation = lab.lookup().unwrap();
    assert_eq!(lab.lookup(), None, "one look-up for all");
    lab.on(Event::LookedUp { generation, outcome: LookedUp::Good { ttl: None } });
    lab.land(a, Outcome::Denied);
    assert_eq!(lab.get(a), Some(Err(Refusal::Denied)));
    // The other 403 came after the look-up began: that one has to be proven for itself.
    lab.land(b, Outcome::Denied);
    assert_eq!(lab.answer(reader), None);
    let generation = lab.lookup().unwrap();
    lab.on(Event::LookedUp { generation, outcome: LookedUp::Good { ttl: None } });
    lab.land(b, Outcome::Denied);
    assert_eq!(lab.answer(reader), Some(Err(Refusal::Denied)));
}

#[test]
fn an_expired_token_is_replaced_without_an_error() {
    let mut lab = Lab::with(Settings::new(1));
    lab.grant(FOREVER);
    let (a, b) = (lab.add(), lab.add());
    lab.fill(a, 1);
    lab.pass(s(301));
    lab.value(a);
    let reader = lab.ask(b);
    lab.land(a, Outcome::Denied);
    lab.land(b, Outcome::Denied);
    let generation = lab.lookup().unwrap();
    lab.on(Event::LookedUp { generation, outcome: LookedUp::Bad });
    assert_eq!(lab.machine.token(), None);
    assert!(lab.login().is_some());
    lab.grant(FOREVER);
    lab.land(a, Outcome::Fetched(document(2)));
    lab.land(b, Outcome::Fetched(document(3)));
    assert_eq!((lab.value(a), lab.answer(reader).unwrap().unwrap().0), (2, 3));
    // The new token is good by birth: a 403 to it is the server's word.
    lab.pass(s(301));
    lab.value(a);
    lab.land(a, Outcome::Denied);
    let generation = lab.lookup().unwrap();
    lab.on(Event::LookedUp { generation, outcome: LookedUp::Bad });
    lab.login().unwrap();
    lab.grant(FOREVER);
    lab.land(a, Outcome::Denied);
    assert_eq!(lab.get(a), Some(Err(Refusal::Denied)));
}

#[test]
fn an_unreachable_login_is_a_failure_like_any_other() {
    let mut lab = Lab::with(Settings::new(1));
    lab.grant(FOREVER);
    let entry = lab.add();
    lab.fill(entry, 1);
    for refused in [false, true] {
        lab.pass(s(301));
        assert_eq!(lab.value(entry), 1);
        if let Some(flight) = lab.flight(entry) {
            lab.on(Event::Landed { flight, outcome: Outcome::Denied });
            let generation = lab.lookup().unwrap();
            lab.on(Event::LookedUp { generation, outcome: LookedUp::Bad });
        }
        assert!(lab.login().is_some());
        let failed = if refused { LoginFailed::Refused } else { LoginFailed::Failed(Failure::Transport) };
        lab.on(Event::LoggedIn { outcome: Err(failed) });
        assert_eq!(lab.machine.view(lab.now, entry).unwrap().state, State::Degraded);
        assert_eq!(lab.value(entry), 1);
        assert_eq!(lab.login(), None, "after a pause");
    }
    assert!(
        lab.take(|command| matches!(command, Command::Notify(Note::LoginRefused)).then_some(())).is_some()
    );
}

#[test]
fn an_unreachable_look_up_condemns_nobody() {
    let mut lab = Lab::with(Settings::new(1));
    lab.grant(FOREVER);
    let entry = lab.add();
    lab.fill(entry, 1);
    lab.pass(s(301));
    lab.value(entry);
    lab.land(entry, Outcome::Denied);
    lab.lookup().unwrap();
    lab.pass(s(31));
    assert_eq!(lab.machine.view(lab.now, entry).unwrap().state, State::Degraded);
    assert_eq!(lab.value(entry), 1);
}

#[test]
fn without_a_way_to_log_in_a_token_can_be_given() {
    let mut lab = Lab::with(Settings { can_login: false, ..Settings::new(1) });
    let entry = lab.add();
    assert_eq!(lab.get(entry), Some(Err(Refusal::Unavailable)), "nobody waits for a token that nobody gets");
    assert_eq!(lab.login(), None);
    lab.pass(s(5));
    lab.grant(HOUR);
    lab.ask(entry);
    lab.land(entry, Outcome::Fetched(document(1)));
    assert_eq!(lab.value(entry), 1);
    lab.pass(s(3000));
    assert_eq!(lab.login(), None);
}

#[test]
fn a_token_is_renewed_in_time_and_replaced_before_its_hard_end() {
    let mut lab = Lab::with(Settings::new(1));
    let renewable = TokenGrant { ttl: Some(s(3600)), renewable: true, hard: Some(s(36_000)) };
    lab.grant(renewable);
    let renew = |command: &Command<u64>| match command {
        Command::RenewToken { generation } => Some(*generation),
        _ => None,
    };
    let start = lab.now;
    let mut renewals = 0;
    while lab.login().is_none() {
        lab.pass(s(10));
        if let Some(generation) = lab.take(renew) {
            renewals += 1;
            let left = start + s(36_000) - lab.now;
            let granted = TokenGrant { ttl: Some(s(3600).min(left)), hard: Some(left), ..renewable };
            lab.on(Event::TokenRenewed { generation, outcome: TokenRenewed::Granted(granted) });
        }
    }
    let after = lab.now - start;
    assert!(after >= s(23_400) && after <= s(27_010), "{after:?}");
    assert!((9..=13).contains(&renewals), "{renewals}");
    lab.grant(renewable);
    let ended = |command: &Command<u64>| matches!(command, Command::RevokeToken { .. }).then_some(());
    assert!(lab.take(ended).is_some(), "nothing depends on the old one");
}
