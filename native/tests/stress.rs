//! Many threads on few tokens.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use hookd_native::index::{Owner, TokenIndex};

const P: &str = "default";
const THREADS: u64 = 8;
const TOKENS: u64 = 24;
const RUNS: u64 = 6;
const ROUNDS: u64 = 40_000;

/// A small generator of its own: the tests have no dependencies.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }
}

fn token(i: u64) -> Vec<u8> {
    // Different lengths, so that chunks of several classes come and go.
    format!("token-{i}-{}", "x".repeat(3 * i as usize)).into_bytes()
}

/// Token map, run lists and counts must tell the same.
fn assert_consistent(index: &TokenIndex) {
    let mut by_token = BTreeMap::new();
    for i in 0..TOKENS {
        if let Some(owner) = index.owner(P, &token(i)) {
            by_token.insert(token(i), (owner.run, owner.revision));
        }
    }
    let mut by_run = BTreeMap::new();
    for run in 0..RUNS {
        for held in index.tokens_of(P, run) {
            let twice = by_run.insert(held.token.into_vec(), (run, held.revision));
            assert_eq!(twice, None, "a token in two lists");
        }
    }
    assert_eq!(by_token, by_run);
    assert_eq!(index.count(P), by_token.len());
    assert_eq!(index.len(), by_token.len());
}

#[test]
fn both_views_agree_after_a_storm() {
    let index = TokenIndex::new();
    let revisions = AtomicU64::new(1);
    let (won, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for seed in 1..=THREADS {
            let (index, revisions, won, ended) = (&index, &revisions, &won, &ended);
            scope.spawn(move || {
                let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                for _ in 0..ROUNDS {
                    let token = token(random.below(TOKENS));
                    let run = random.below(RUNS);
                    match random.below(8) {
                        0..=2 => {
                            let revision = revisions.fetch_add(1, Ordering::Relaxed);
                            let claim = Owner { run, revision };
                            if index.claim(P, &token, claim).unwrap().is_none() {
                                won.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                        3 => {
                            let tokens: Vec<_> =
                                (0..5).map(|_| self::token(random.below(TOKENS))).collect();
                            let first = revisions.fetch_add(5, Ordering::Relaxed);
                            let outcome = index.claim_batch(P, &tokens, &[run; 5], first).unwrap();
                            let claimed = outcome.iter().filter(|o| o.is_none()).count();
                            won.fetch_add(claimed, Ordering::Relaxed);
                        }
                        4 | 5 => {
                            if let Some(owner) = index.owner(P, &token) {
                                let released = index.release(P, &token, owner.revision);
                                ended.fetch_add(usize::from(released), Ordering::Relaxed);
                            }
                        }
                        6 => {
                            let held = index.release_run(P, run);
                            assert!(held.is_sorted_by(|a, b| a.revision < b.revision));
                            ended.fetch_add(held.len(), Ordering::Relaxed);
                        }
                        _ => {
                            let tokens = [token, self::token(random.below(TOKENS))];
                            let first = revisions.fetch_add(2, Ordering::Relaxed);
                            if index
                                .load(P, &tokens, &[run; 2], &[first, first + 1])
                                .is_ok()
                            {
                                won.fetch_add(2, Ordering::Relaxed);
                            }
                        }
                    }
                    // Also while the storm goes on, a list is a list of one moment.
                    if random.below(64) == 0 {
                        let held = index.tokens_of(P, run);
                        let distinct: HashSet<_> = held.iter().map(|held| &held.token).collect();
                        assert_eq!(distinct.len(), held.len());
                        assert!(index.count(P) <= TOKENS as usize);
                    }
                }
            });
        }
    });
    assert_consistent(&index);
    assert_eq!(won.into_inner() - ended.into_inner(), index.len());
    for run in 0..RUNS {
        index.release_run(P, run);
    }
    assert_consistent(&index);
    assert!(index.is_empty());
}

#[test]
fn of_many_claimers_one_wins() {
    let index = TokenIndex::new();
    for round in 0..2000_u64 {
        let token = token(round % TOKENS);
        let winners = AtomicUsize::new(0);
        thread::scope(|scope| {
            for run in 0..4 {
                let (index, token, winners) = (&index, &token, &winners);
                scope.spawn(move || {
                    let claim = Owner {
                        run,
                        revision: round * 4 + run,
                    };
                    if index.claim(P, token, claim).unwrap().is_none() {
                        winners.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(winners.into_inner(), 1);
        let owner = index.owner(P, &token).unwrap();
        assert!(index.release(P, &token, owner.revision));
    }
}

/// `release_run` is one moment: what one thread claims for a run, one token
/// after the other, is released up to some point and kept from there on.
#[test]
fn a_release_of_a_run_has_no_holes() {
    const CLAIMS: u64 = 200;
    let index = TokenIndex::new();
    for round in 0..300_u64 {
        let tokens: Vec<Vec<u8>> = (0..CLAIMS).map(|i| format!("{round}/{i}").into()).collect();
        let released = thread::scope(|scope| {
            scope.spawn(|| {
                for (revision, token) in (0..).zip(&tokens) {
                    index.claim(P, token, Owner { run: 1, revision }).unwrap();
                }
            });
            scope
                .spawn(|| {
                    while index.tokens_of(P, 1).len() < (round % CLAIMS) as usize {
                        std::hint::spin_loop();
                    }
                    index.release_run(P, 1)
                })
                .join()
                .unwrap()
        });
        let kept = index.release_run(P, 1);
        let revisions: Vec<u64> = released.iter().chain(&kept).map(|h| h.revision).collect();
        assert_eq!(revisions, (0..CLAIMS).collect::<Vec<_>>());
    }
}

/// Project numbers are reused while other threads work.
#[test]
fn passing_projects_do_not_mix() {
    let index = TokenIndex::new();
    thread::scope(|scope| {
        for worker in 0..4_u64 {
            let index = &index;
            scope.spawn(move || {
                for i in 0..5_000_u64 {
                    let project = format!("{worker}/{i}");
                    let run = worker * 1_000_000 + i;
                    let claim = Owner { run, revision: i };
                    assert_eq!(index.claim(&project, b"t", claim), Ok(None));
                    assert_eq!(index.owner(&project, b"t"), Some(claim));
                    assert_eq!(index.release_run(&project, run).len(), 1);
                }
            });
        }
    });
    assert!(index.is_empty());
    assert_eq!(index.projects(), []);
}
