//! Claims of one token that is taken: every answer has to name its owner.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use prost::Message;

use crate::batches::{Batches, count};
use crate::drive::{Caller, Done};
use crate::fault::{ALREADY_EXISTS, Fault, Refusal};
use crate::grpc::Method;
use crate::keys::Token;
use crate::pb::hookd::v1 as pb;
use crate::pb::hookd::v1::hook_claim_result::Result as ClaimResult;
use crate::pb::status::Status;
use crate::wire::{Claim, Writer};

use super::claims::{Way, open_pipes, set_up};
use super::session::{Names, Session};
use super::{lives, path};

/// Header values may come with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Callers that ask for the token with each call.
pub async fn unary(s: &Session) -> anyhow::Result<Vec<impl Caller + use<>>> {
    make_hot(s).await?;
    let methods = s.methods(path::CREATE_HOOK);
    Ok(s.callers(|i| Conflicts::new(&methods[i], &s.names)))
}

/// Callers that ask for the token in batches, with a call for each.
pub async fn batches(s: &Session) -> anyhow::Result<Vec<impl Caller + use<>>> {
    make_hot(s).await?;
    let methods = s.methods(path::CREATE_HOOKS);
    Ok(s.callers(|i| ConflictBatches::new(s, Way::unary(&methods[i]))))
}

/// Callers that ask for the token in batches, over a stream for each connection.
pub async fn streams(s: &Session) -> anyhow::Result<Vec<impl Caller + use<>>> {
    make_hot(s).await?;
    let pipes = open_pipes(s).await?;
    Ok(s.callers(|i| ConflictBatches::new(s, Way::Stream(pipes[i].clone()))))
}

/// Starts the runs, and lets the first of them claim the first token.
async fn make_hot(s: &Session) -> anyhow::Result<()> {
    lives::start_runs(s, s.runs).await?;
    set_up(s, &s.names, 1).await
}

/// Set in the numbers of hooks that lose, so that they are none of those that win.
const LOSES: u64 = 1 << 63;

/// The claims that lose.
#[derive(Clone)]
struct Asks(Names);

impl Asks {
    fn hot(&self) -> Token {
        self.0.token(0)
    }

    /// A hook of its own, of one of the runs, with the token that is taken.
    fn ask(&self, number: u64) -> Claim {
        Claim {
            run: self.0.run_of(number),
            hook: self.0.hook(number | LOSES),
            token: self.hot(),
        }
    }

    /// Whether a conflict tells who the owner is.
    fn names_owner(&self, conflict: &pb::HookConflict) -> bool {
        conflict.token == self.hot().as_str()
            && conflict.run_id == self.0.run_of(0).as_str()
            && conflict.hook_id == self.0.hook(0).as_str()
    }
}

/// Asks for the token that the first claim of the names has.
pub struct Conflicts {
    method: Method,
    asks: Asks,
    writer: Writer,
}

impl Conflicts {
    /// Asks over the connection of `method`.
    pub fn new(method: &Method, names: &Names) -> Self {
        Self {
            method: method.clone(),
            asks: Asks(names.clone()),
            writer: Writer::default(),
        }
    }
}

impl Caller for Conflicts {
    async fn call(&mut self, number: u64) -> Result<Done, Fault> {
        let ask = self.asks.ask(number);
        let framed = self.writer.create_hook(&self.asks.0.project, &ask);
        let conflict = expect_conflict(self.method.call(framed).await)?;
        if !self.asks.names_owner(&conflict) {
            return Err(Fault::unexpected("a conflict with another owner"));
        }
        Ok(Done::one("conflict"))
    }
}

/// The conflict that a call was refused with.
///
/// # Errors
///
/// The call has succeeded, or was refused otherwise.
pub fn expect_conflict<T>(result: Result<T, Fault>) -> Result<pb::HookConflict, Fault> {
    match result {
        Err(Fault::Refused(refusal)) if refusal.code == ALREADY_EXISTS => {
            conflict(&refusal).ok_or_else(|| Fault::unexpected("a conflict without its owner"))
        }
        Err(fault) => Err(fault),
        Ok(_) => Err(Fault::unexpected("a claim of a taken token has won")),
    }
}

fn conflict(refusal: &Refusal) -> Option<pb::HookConflict> {
    let details = BASE64.decode(refusal.details.as_ref()?).ok()?;
    let status = Status::decode(details.as_slice()).ok()?;
    let detail = status
        .details
        .iter()
        .find(|any| any.type_url.ends_with("/hookd.v1.HookConflict"));
    pb::HookConflict::decode(detail?.value.as_slice()).ok()
}

struct ConflictBatches {
    way: Way,
    asks: Asks,
    writer: Writer,
    batches: Batches,
}

impl ConflictBatches {
    fn new(s: &Session, way: Way) -> Self {
        Self {
            way,
            asks: Asks(s.names.clone()),
            writer: Writer::default(),
            batches: s.batches(),
        }
    }
}

impl Caller for ConflictBatches {
    async fn call(&mut self, number: u64) -> Result<Done, Fault> {
        let numbers = self.batches.numbers(number);
        let asks = numbers.clone().map(|number| self.asks.ask(number));
        let project = &self.asks.0.project;
        let results = match &self.way {
            Way::Unary(method) => {
                let framed = self.writer.create_hooks(project, asks);
                method.ask::<pb::CreateHooksResponse>(framed).await?.results
            }
            Way::Stream(pipe) => {
                let framed = self.writer.claim_stream(number, project, asks);
                pb::ClaimStreamResponse::decode(pipe.call(framed).await?)?.results
            }
        };
        let size = count(&numbers);
        let told = results.iter().filter(|result| match &result.result {
            Some(ClaimResult::Error(error)) => error
                .conflict
                .as_ref()
                .is_some_and(|conflict| self.asks.names_owner(conflict)),
            _ => false,
        });
        if results.len() as u64 != size || told.count() as u64 != size {
            return Err(Fault::unexpected(
                "not every claim of a batch has met the owner",
            ));
        }
        Ok(Done::of("conflict", size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_is_read_from_the_details() {
        let owner = pb::HookConflict {
            run_id: "run-1".into(),
            ..Default::default()
        };
        let detail = prost_types::Any {
            type_url: "type.googleapis.com/hookd.v1.HookConflict".into(),
            value: owner.encode_to_vec(),
        };
        let other = prost_types::Any {
            type_url: "a/b".into(),
            value: vec![1],
        };
        let status = Status {
            code: 6,
            message: String::new(),
            details: vec![other, detail],
        };
        for engine in [
            &base64::prelude::BASE64_STANDARD,
            &base64::prelude::BASE64_STANDARD_NO_PAD,
        ] {
            let details = Some(engine.encode(status.encode_to_vec()).into());
            let refusal = |code| Refusal {
                code,
                message: String::new(),
                details: details.clone(),
            };
            let refused = |code| Err::<(), _>(Fault::Refused(refusal(code)));
            assert_eq!(expect_conflict(refused(ALREADY_EXISTS)).unwrap(), owner);
            assert!(expect_conflict(refused(14)).is_err());
        }
    }

    #[test]
    fn a_claim_that_wins_or_a_conflict_that_names_nobody_is_an_error() {
        assert!(expect_conflict(Ok(())).is_err());
        let refusal = Refusal {
            code: ALREADY_EXISTS,
            message: String::new(),
            details: None,
        };
        assert!(expect_conflict::<()>(Err(Fault::Refused(refusal))).is_err());
    }
}
