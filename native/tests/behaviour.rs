//! What the index promises, one call at a time.

use hookd_native::error::IndexError;
use hookd_native::index::{Held, MAX_TOKEN_BYTES, Owner, TokenIndex};

const P: &str = "default";

fn owner(run: u64, revision: u64) -> Owner {
    Owner { run, revision }
}

fn held(token: &[u8], revision: u64) -> Held {
    Held {
        token: token.into(),
        revision,
    }
}

#[test]
fn a_second_claim_meets_the_first() {
    let index = TokenIndex::new();
    assert_eq!(index.claim(P, b"a", owner(1, 10)), Ok(None));
    assert_eq!(index.claim(P, b"a", owner(2, 11)), Ok(Some(owner(1, 10))));
    assert_eq!(index.claim(P, b"a", owner(1, 12)), Ok(Some(owner(1, 10))));
    assert_eq!(index.owner(P, b"a"), Some(owner(1, 10)));
    assert_eq!(index.tokens_of(P, 1), [held(b"a", 10)]);
    assert_eq!(index.tokens_of(P, 2), []);
    assert_eq!(index.count(P), 1);
}

#[test]
fn a_release_needs_the_claims_revision() {
    let index = TokenIndex::new();
    index.claim(P, b"a", owner(1, 10)).unwrap();
    assert!(index.release(P, b"a", 10));
    index.claim(P, b"a", owner(2, 11)).unwrap();
    assert!(!index.release(P, b"a", 10), "a late retry");
    assert_eq!(index.owner(P, b"a"), Some(owner(2, 11)));
    assert!(index.release(P, b"a", 11));
    assert!(!index.release(P, b"a", 11));
    assert!(!index.release("nowhere", b"a", 11));
    assert!(index.is_empty());
}

#[test]
fn a_batch_is_in_order() {
    let index = TokenIndex::new();
    let tokens: [&[u8]; 4] = [b"a", b"b", b"a", b"c"];
    let outcome = index.claim_batch(P, &tokens, &[1, 2, 3, 1], 100).unwrap();
    assert_eq!(outcome, [None, None, Some(owner(1, 100)), None]);
    let owners = [
        Some(owner(1, 100)),
        Some(owner(2, 101)),
        Some(owner(1, 100)),
        Some(owner(1, 103)),
    ];
    assert_eq!(index.owner_batch(P, &tokens), owners);
    let released = index.release_batch(P, &tokens, &[100, 0, 100, 103]);
    assert_eq!(released, Ok(vec![true, false, false, true]));
    assert_eq!(index.projects(), [(P.to_owned(), 1)]);
    assert_eq!(
        index.release_batch("nowhere", &tokens, &[0; 4]),
        Ok(vec![false; 4])
    );
    assert_eq!(index.owner_batch("nowhere", &tokens), [None; 4]);
}

#[test]
fn a_refused_batch_claims_nothing() {
    let index = TokenIndex::new();
    let two: [&[u8]; 2] = [b"a", b"b"];
    let mismatch = IndexError::LengthMismatch {
        tokens: 2,
        values: 1,
    };
    assert_eq!(index.claim_batch(P, &two, &[1], 1), Err(mismatch));
    assert_eq!(index.release_batch(P, &two, &[1]), Err(mismatch));
    assert_eq!(
        index.claim_batch(P, &two, &[1, 1], u64::MAX),
        Err(IndexError::RevisionOverflow)
    );
    let with_empty: [&[u8]; 2] = [b"a", b""];
    assert_eq!(
        index.claim_batch(P, &with_empty, &[1, 1], 1),
        Err(IndexError::TokenLength {
            position: 1,
            length: 0
        })
    );
    assert!(index.is_empty());
    let last = index.claim_batch(P, &two, &[1, 1], u64::MAX - 1);
    assert_eq!(last, Ok(vec![None, None]));
    assert_eq!(index.owner(P, b"b"), Some(owner(1, u64::MAX)));
    let none: [&[u8]; 0] = [];
    assert_eq!(index.claim_batch(P, &none, &[], u64::MAX), Ok(vec![]));
}

#[test]
fn a_runs_tokens_come_in_the_order_of_revisions() {
    let index = TokenIndex::new();
    let mut expected = Vec::new();
    for i in 0..100_u64 {
        // 37 and 101 have no common factor: every revision once, in disorder.
        let (token, revision) = (format!("token-{i}"), 1 + i * 37 % 101);
        index
            .claim(P, token.as_bytes(), owner(7, revision))
            .unwrap();
        expected.push(held(token.as_bytes(), revision));
    }
    index.claim(P, b"another's", owner(8, 1)).unwrap();
    expected.sort_by_key(|held| held.revision);
    assert_eq!(index.tokens_of(P, 7), expected);
    for i in (0..100).step_by(3) {
        let held = expected.remove(i - i / 3);
        assert!(index.release(P, &held.token, held.revision));
    }
    assert_eq!(index.tokens_of(P, 7), expected);
    assert_eq!(index.release_run("other", 7), []);
    assert_eq!(index.release_run(P, 7), expected);
    assert_eq!(index.release_run(P, 7), []);
    assert_eq!(index.len(), 1);
    assert_eq!(index.claim(P, b"token-0", owner(8, 2)), Ok(None));
}

#[test]
fn a_failed_load_keeps_nothing() {
    let index = TokenIndex::new();
    let tokens: [&[u8]; 3] = [b"a", b"b", b"c"];
    index.claim(P, b"c", owner(9, 1)).unwrap();
    assert_eq!(
        index.load(P, &tokens, &[1, 1, 1], &[5, 6, 7]),
        Err(IndexError::TokenTaken {
            position: 2,
            run: 9,
            revision: 1
        })
    );
    assert_eq!(index.tokens_of(P, 1), []);
    assert_eq!(index.owner(P, b"c"), Some(owner(9, 1)));
    assert_eq!(index.len(), 1);

    let twice: [&[u8]; 2] = [b"x", b"x"];
    let taken = index.load(P, &twice, &[1, 2], &[5, 6]);
    assert!(matches!(
        taken,
        Err(IndexError::TokenTaken { position: 1, .. })
    ));
    assert_eq!(index.owner(P, b"x"), None);
    // The same revision twice must not make the undo release another's claim.
    let taken = index.load(P, &[b"y", b"c"], &[1, 2], &[1, 1]);
    assert!(matches!(
        taken,
        Err(IndexError::TokenTaken { position: 1, .. })
    ));
    assert_eq!(index.owner(P, b"c"), Some(owner(9, 1)));

    assert!(index.release(P, b"c", 1));
    assert_eq!(index.load(P, &tokens, &[1, 2, 1], &[7, 6, 5]), Ok(()));
    assert_eq!(index.tokens_of(P, 1), [held(b"c", 5), held(b"a", 7)]);
    assert_eq!(index.count(P), 3);
}

#[test]
fn tokens_are_any_bytes_of_any_allowed_length() {
    let index = TokenIndex::new();
    let length = |length| {
        Err(IndexError::TokenLength {
            position: 0,
            length,
        })
    };
    assert_eq!(index.claim(P, b"", owner(1, 1)), length(0));
    let long = vec![0xff; MAX_TOKEN_BYTES + 1];
    assert_eq!(index.claim(P, &long, owner(1, 1)), length(4097));
    assert_eq!(index.owner(P, &long), None);
    assert!(!index.release(P, b"", 1));
    for n in 1..=MAX_TOKEN_BYTES {
        // All of them NUL: only the length tells them apart.
        let claimed = index.claim(P, &vec![0; n], owner(1, n as u64));
        assert_eq!(claimed, Ok(None));
    }
    let held = index.release_run(P, 1);
    assert_eq!(held.len(), MAX_TOKEN_BYTES);
    for (i, held) in held.iter().enumerate() {
        assert_eq!(*held.token, vec![0; i + 1]);
        assert_eq!(held.revision, i as u64 + 1);
    }
}

#[test]
fn projects_do_not_share_tokens() {
    let index = TokenIndex::new();
    assert_eq!(index.claim("b", b"t", owner(1, 1)), Ok(None));
    assert_eq!(index.claim("a", b"t", owner(2, 2)), Ok(None));
    assert_eq!(index.claim("a", b"u", owner(2, 3)), Ok(None));
    assert_eq!(index.owner("b", b"t"), Some(owner(1, 1)));
    assert_eq!(index.projects(), [("a".to_owned(), 2), ("b".to_owned(), 1)]);
    assert_eq!(index.release_run("a", 2).len(), 2);
    assert_eq!(index.projects(), [("b".to_owned(), 1)]);
    assert_eq!((index.count("a"), index.count("c"), index.len()), (0, 0, 1));
}

#[test]
fn a_projects_number_can_serve_another() {
    let index = TokenIndex::new();
    for i in 0..10_000_u64 {
        let name = format!("project-{i}");
        assert_eq!(index.claim(&name, b"t", owner(i, i)), Ok(None));
        if i % 1000 != 0 {
            assert!(index.release(&name, b"t", i));
        }
    }
    for i in 0..10_000_u64 {
        let expected = (i % 1000 == 0).then(|| owner(i, i));
        assert_eq!(index.owner(&format!("project-{i}"), b"t"), expected);
    }
    assert_eq!(index.len(), 10);
}

#[test]
fn a_million_cycles_do_not_grow_memory() {
    let index = TokenIndex::new();
    let token = |i: u64| format!("{:036}", i % 50_000);
    let cycle = |from: u64, to: u64| {
        for i in from..to {
            if i >= 1000 {
                assert!(index.release(P, token(i - 1000).as_bytes(), i - 1000));
            }
            let claimed = index.claim(P, token(i).as_bytes(), owner(i / 10, i));
            assert_eq!(claimed, Ok(None));
        }
    };
    cycle(0, 100_000);
    let before = index.memory_bytes();
    cycle(100_000, 1_100_000);
    // The hashes are random, and so is how full the fullest part of a table is.
    let after = index.memory_bytes();
    assert!(after < before * 5 / 4, "{before} to {after}");
    assert_eq!(index.len(), 1000);
}

#[test]
fn memory_of_released_tokens_serves_tokens_of_other_lengths() {
    let index = TokenIndex::new();
    let mut peak = 0;
    for round in 0..10 {
        let width = 20 + 4 * (10 - round);
        for i in 0..20_000_u64 {
            let token = format!("{i:0width$}");
            index.claim(P, token.as_bytes(), owner(i / 10, i)).unwrap();
        }
        peak = peak.max(index.memory_bytes());
        for run in 0..2000 {
            assert_eq!(index.release_run(P, run).len(), 10);
        }
    }
    let first = 66 + 30; // the longest tokens came first
    assert!(peak < 20_000 * first * 3 / 2, "{peak}");
}

#[test]
fn a_token_of_36_bytes_costs_less_than_96() {
    let index = TokenIndex::new();
    for i in 0..300_000_u64 {
        let token = format!("{i:036}");
        index.claim(P, token.as_bytes(), owner(i / 10, i)).unwrap();
        let active = i as usize + 1;
        if active >= 100_000 && active.is_multiple_of(10_000) {
            assert!(index.memory_bytes() / active < 96, "at {active}");
        }
    }
}
