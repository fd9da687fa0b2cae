//! The documents of the rotation: what is written is read back as it was, hostile text is refused without being
//! quoted, and material is in no `Debug` and no error.
#![expect(clippy::unwrap_used, reason = "test")]

use std::collections::BTreeMap;

use coffre_ambient::{SeededEntropy, Wall};
use coffre_rotation::{
    Ack, AfterUndo, Approval, Claim, ConsumerId, Decrypts, EscrowCopy, EventKind, Gate, GateMode, Halt,
    HaltCode, Happening, HistoryMonth, Kind, Pending, Phase, Reason, Record, Repair, RepairReason, Retiring,
    RotPolicy, RotationId, Schedule, Soak, Target, Well, WireDocument, WriteId,
};
use coffre_secret::SecretText;
use proptest::prelude::*;

const MATERIAL: &str = "hunter2-\"\\\n\u{1f511}";

fn wall() -> impl Strategy<Value = Wall> {
    (0_u64..8_000_000_000_000_000_000).prop_map(Wall::from_nanos)
}

fn consumer() -> impl Strategy<Value = ConsumerId> {
    "[A-Za-z0-9-]{1,20}\\.[a-z0-9-]{1,20}".prop_map(|text| ConsumerId::parse(&text).unwrap())
}

fn target() -> impl Strategy<Value = Target> {
    "[a-z][a-z0-9_.-]{0,20}(/[a-z][a-z0-9_.-]{0,20}){0,2}".prop_map(|name| Target::new(&name).unwrap())
}

fn gate() -> impl Strategy<Value = Gate> {
    let lists = (prop::collection::vec(consumer(), 0..5), prop::collection::vec(consumer(), 0..5));
    (any::<bool>(), wall(), wall(), any::<u64>(), lists).prop_map(
        |(ack, until, since, epoch, (need, have))| Gate {
            mode: if ack { GateMode::Ack } else { GateMode::Time },
            until,
            since,
            epoch,
            need,
            have,
        },
    )
}

fn retiring(number: u64) -> impl Strategy<Value = Retiring> {
    let phases = prop::sample::select(vec![Phase::Drain, Phase::Retire, Phase::Reencrypt, Phase::Destroy]);
    (wall(), wall(), prop::option::of("[a-z_]{1,20}"), any::<bool>(), phases, prop::option::of(gate()))
        .prop_map(move |(since, until, principal, held, phase, gate)| Retiring {
            gen_no: number,
            since,
            earliest_retire: until,
            principal,
            material: held.then(|| SecretText::from(MATERIAL)),
            phase,
            phase_since: Some(since),
            gate,
            not_before: None,
            tries: 3,
            compromised: held,
            confirmed: held,
            cleared: !held,
            missing: vec!["2 texts".to_owned(); usize::from(held)],
            notes: BTreeMap::from([("escrow".to_owned(), "sha256:00 for f00d".to_owned())]),
            certificate: BTreeMap::new(),
        })
}

fn record() -> impl Strategy<Value = Record> {
    let phase = prop::sample::select(Phase::ALL.to_vec());
    let kind = prop::sample::select(Kind::ALL.to_vec());
    let olds = (retiring(7), retiring(8));
    (target(), kind, phase, wall(), any::<(u64, bool, bool)>(), prop::option::of(gate()), olds).prop_map(
        |(target, kind, phase, at, (fence, claimed, halves), gate, (first, second))| {
            let entropy = SeededEntropy::new(fence);
            let mut record = Record::new(target, kind, "8f2c".to_owned(), 9, at);
            record.gens = 10;
            record.phase = phase;
            record.fence = fence;
            record.write = WriteId::draw(at, &entropy).unwrap();
            record.rotation = RotationId::draw(at, &entropy).unwrap();
            record.reason = Reason::Compromised;
            record.claim = claimed.then(|| Claim { holder: "host/boot/1".to_owned(), until: at });
            record.pending = halves.then(|| Pending {
                gen_no: 10,
                principal: Some("app_b".to_owned()),
                material: SecretText::from(MATERIAL),
                created: at,
            });
            record.retiring = vec![first, second];
            record.gate = gate;
            record.schedule = Schedule {
                last_ok: Some(at),
                next_due: None,
                deadline: Some(at),
                anchor: fence,
                reminded: "due/14".to_owned(),
            };
            record.halt = (phase == Phase::Halt).then(|| Halt {
                code: HaltCode::Gate,
                why: "api.web.b.1 did not acknowledge".to_owned(),
                advice: "restart it".to_owned(),
                since: at,
                phase: Phase::Drain,
            });
            record.exposed = halves;
            record.repair = Some(Repair { gen_no: 8, why: RepairReason::Drift });
            record.after_undo = Some(AfterUndo::Halt);
            record.work.insert("cursor".to_owned(), serde_json::json!({"after": "id-9", "left": 3}));
            record.remember(happening(at, "started"));
            record.remember(happening(at, "promoted"));
            record
        },
    )
}

fn happening(at: Wall, note: &str) -> Happening {
    Happening {
        at,
        event: EventKind::Started,
        rotation: RotationId::default(),
        phase: Phase::Prepare,
        gen_no: Some(10),
        old: None,
        fingerprints: vec!["ab12".to_owned()],
        consumers: vec![ConsumerId::of("api", "web", "b", "1")],
        actor: "host/boot/1".to_owned(),
        note: note.to_owned(),
        facts: BTreeMap::from([("kid".to_owned(), "ab12cd34".to_owned())]),
        dedupe: format!("r/{note}"),
    }
}

/// Reads and writes again: the same text.
fn round_trips<D: WireDocument>(document: &D) -> Result<(), TestCaseError> {
    let text = document.write().unwrap();
    let again = D::parse(text.expose().as_bytes()).unwrap().write().unwrap();
    prop_assert_eq!(again.expose(), text.expose());
    Ok(())
}

proptest! {
    #[test]
    fn records_round_trip_and_show_no_material(record in record()) {
        round_trips(&record)?;
        let (copy, original) = (record.duplicate().write().unwrap(), record.write().unwrap());
        prop_assert_eq!(copy.expose(), original.expose());
        let shown = format!("{record:?} {record:#?}");
        prop_assert!(!shown.contains("hunter2"), "{}", shown);
    }

    #[test]
    fn acks_round_trip(id in consumer(), epoch: u64, in_use: u64, expires in wall(), frozen: bool) {
        let counted = BTreeMap::from([("ab12cd34".to_owned(), Decrypts { count: epoch, last: expires })]);
        let decrypts = (!frozen).then_some(counted);
        let ack = Ack { frozen, auth_failures_60s: 4, decrypts, ..Ack::new(id, epoch, in_use, expires) };
        round_trips(&ack)?;
        prop_assert_eq!(Ack::parse(ack.write().unwrap().expose().as_bytes()).unwrap(), ack);
    }

    #[test]
    fn consents_and_copies_round_trip(of in target(), number in 1_u64.., who in "[0-9a-f-]{1,64}", sealed: Vec<u8>, at in wall()) {
        round_trips(&Approval::new(of.clone(), number, &who))?;
        let copy = EscrowCopy::new(of, number, "ab12cd34", "f00d".to_owned(), &[&sealed[..], b"x"].concat(), at);
        prop_assert_eq!(copy.digest().len(), 71);
        round_trips(&copy)?;
    }

    #[test]
    fn words_of_how_well_it_goes_round_trip(of in target(), at in wall(), well: bool) {
        let well = well.then(|| Well { procedure: "1-0123456789abcdef".to_owned(), since: at });
        round_trips(&Soak::new(of, well))?;
    }

    #[test]
    fn policies_round_trip(soft in 1_u64..10_000, more in 0_u64..100_000, targets in prop::collection::vec(target(), 0..5)) {
        let policy = RotPolicy {
            soft_ttl: std::time::Duration::from_secs(soft),
            max_stale: std::time::Duration::from_secs(soft + more),
            schedules: targets.into_iter().map(|target| (target, "30d".to_owned())).collect(),
            ..RotPolicy::default()
        };
        round_trips(&policy)?;
        prop_assert_eq!(RotPolicy::parse(policy.write().unwrap().expose().as_bytes()).unwrap(), policy);
    }

    #[test]
    fn whatever_the_bytes_no_document_panics_or_quotes(bytes in prop::collection::vec(any::<u8>(), 0..400), cut in 0_usize..2000) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        for error in [
            Record::parse(text.as_bytes()).err().map(|error| error.to_string()),
            Ack::parse(text.as_bytes()).err().map(|error| error.to_string()),
            HistoryMonth::parse(text.as_bytes()).err().map(|error| error.to_string()),
        ] {
            prop_assert!(error.is_some());
        }
        let mut record = Record::new(Target::new("a").unwrap(), Kind::External, "i".to_owned(), 1, Wall::from_secs(1));
        record.gens = 2;
        record.pending = Some(Pending {
            gen_no: 2, principal: None, material: SecretText::from("hunter2"), created: Wall::from_secs(1),
        });
        let whole = record.write().unwrap();
        let mut damaged = whole.expose().clone().into_bytes();
        let at = cut % damaged.len();
        damaged[at] = bytes.first().copied().unwrap_or(b'x');
        if let Err(error) = Record::parse(&damaged) {
            prop_assert!(!error.to_string().contains("hunter2"), "{}", error);
        }
        damaged.truncate(at);
        prop_assert!(Record::parse(&damaged).is_err());
    }

    #[test]
    fn a_changed_event_breaks_the_chain(count in 1_usize..20, which in 0_usize..20, how in 0_u8..4) {
        let mut record = Record::new(Target::new("a").unwrap(), Kind::External, "i".to_owned(), 1, Wall::from_secs(1));
        let mut month = HistoryMonth::new(record.target.clone());
        for at in 0..count {
            record.remember(happening(Wall::from_secs(at as u64), "x"));
            // The same events may come again.
            month.append(&record.outbox);
            month.append(&record.outbox);
        }
        prop_assert_eq!(month.events.len(), count);
        let head = month.verify(None).unwrap();
        prop_assert_eq!((head.seq, &head.hash), (record.hist_seq, &record.hist_head));
        round_trips(&month)?;
        let which = which % count;
        match how {
            0 => month.events[which].what.note.push('!'),
            1 => month.events[which].seq += 1,
            2 => month.events[which].what.gen_no = None,
            _ => { month.events.remove(which); }
        }
        let broken = month.verify(Some(&Default::default())).is_err();
        // Without its newest event a chain is whole; the record's head says that one is missing.
        let behind = month.last() < head.seq;
        prop_assert!(broken || behind);
    }
}

const EXAMPLE: &str = r#"{"schema":"rot/1","target":"pg-app","kind":"pg-alternating","incarnation":"x","_w":"01J00000000000000000000000","fence":17,
        "phase":"APPLY","rotation":"01J00000000000000000000000","reason":"manual","attempt":1,"not_before":"2026-11-22T00:00:00Z",
        "claim":{"holder":"host/boot/pid","until":"2026-11-22T00:02:00Z"},"gens":9,
        "active":8,"pending":{"gen":9,"principal":"app_b","material":"m","created":"2026-11-22T00:00:00Z"},
        "retiring":[{"gen":7,"since":"2026-11-22T00:00:00Z","earliest_retire":"2026-11-22T00:00:00Z"}],
        "phase_since":"2026-11-22T00:00:00Z","gate":null,
        "schedule":{"last_ok":"2026-11-15T00:00:00Z","next_due":null,"deadline":null},"halt":null,"hist_head":""}"#;

#[test]
fn the_example_of_the_format_is_read() {
    let record = Record::parse(EXAMPLE.as_bytes()).unwrap();
    assert_eq!((record.phase, record.fence, record.active), (Phase::Apply, 17, 8));
    assert_eq!(record.retiring[0].phase, Phase::Drain);
}

#[test]
fn no_generation_stands_in_two_places() {
    let with = |from: &str, to: &str| {
        assert!(EXAMPLE.contains(from));
        Record::parse(EXAMPLE.replace(from, to).as_bytes()).map(drop).map_err(|error| error.to_string())
    };
    let old = |numbers: [u64; 3]| {
        let times = r#""since":"2026-11-22T00:00:00Z","earliest_retire":"2026-11-22T00:00:00Z""#;
        let all = numbers.map(|gen_no| format!(r#"{{"gen":{gen_no},{times}}}"#));
        with(
            r#"{"gen":7,"since":"2026-11-22T00:00:00Z","earliest_retire":"2026-11-22T00:00:00Z"}"#,
            &all.join(","),
        )
    };
    assert_eq!(old([5, 6, 7]), Ok(()));
    assert_eq!(old([5, 7, 6]), Ok(()), "after a rollback");
    for wrong in [[5, 7, 5], [7, 7, 6], [6, 7, 8], [6, 7, 10]] {
        assert!(old(wrong).unwrap_err().contains("on its way out"), "{wrong:?}");
    }
    for phase in ["APPLY", "UNDO"] {
        let in_phase = |gen_no: u64| {
            let text = EXAMPLE.replace(r#""phase":"APPLY""#, &format!(r#""phase":"{phase}""#));
            let text = text.replace(r#""pending":{"gen":9"#, &format!(r#""pending":{{"gen":{gen_no}"#));
            Record::parse(text.as_bytes()).map(drop).map_err(|error| error.to_string())
        };
        assert_eq!(in_phase(9), Ok(()), "{phase}");
        for wrong in [7, 8, 10] {
            assert!(in_phase(wrong).unwrap_err().contains("not a new one"), "{phase} {wrong}");
        }
    }
}

#[test]
fn another_schema_is_refused_with_a_sentence() {
    let error =
        Record::parse(br#"{"schema":"rot/2","pending":{"material":"hunter2"}}"#).unwrap_err().to_string();
    assert!(error.contains("rot/2") && error.contains("rot/1") && !error.contains("hunter2"), "{error}");
    let error = Record::parse(br#"{"schema":"hunter2 <script>"}"#).unwrap_err().to_string();
    assert!(!error.contains("hunter2"), "{error}");
    assert!(Ack::parse(br#"["rot-ack/1","a.b",1,1,false,0,"2026-11-22T00:00:00Z",""]"#).is_err());
    assert!(Record::parse(br#"{"phase":"IDLE"}"#).unwrap_err().to_string().contains("no `schema`"));
    assert!(RotPolicy::parse(br#"{"soft_ttl":"5m","max_stale":3600}"#).is_ok());
    assert!(RotPolicy::parse(br#"{"soft_ttl":"2h"}"#).unwrap_err().to_string().contains("soft_ttl"));
    assert!(RotPolicy::parse(br#"{"schema":"rot-policy/7"}"#).is_err());
    assert!(RotPolicy::parse(br#"{"blackout":[{"from":"2026-12-24","to":"2026-12-20"}]}"#).is_err());
    assert!(RotPolicy::parse(br#"{"blackout":[{"from":"2026-12-20","to":"2026-12-24"}]}"#).is_ok());
}

#[test]
fn bounds_hold() {
    let long = format!(r#"{{"schema":"rot/1","x":"{}"}}"#, "a".repeat(Record::MAX_BYTES));
    assert!(Record::parse(long.as_bytes()).unwrap_err().to_string().contains("at most"));
    let mut record =
        Record::new(Target::new("a").unwrap(), Kind::External, "i".to_owned(), 1, Wall::from_secs(1));
    record.work.insert("x".to_owned(), serde_json::Value::String("a".repeat(70_000)));
    assert!(record.write().is_err());
    let deep = format!(r#"{{"schema":"rot/1","work":{}}}"#, "[".repeat(100_000));
    assert!(Record::parse(deep.as_bytes()).is_err());
    record.work.clear();
    record.phase = Phase::Halt;
    assert!(record.write().unwrap_err().to_string().contains("HALT"));
}
