//! Claims as transactions on etcd: put the key if it has not been created, read it otherwise.

use anyhow::bail;

use crate::drive::{Caller, Done, drive};
use crate::fault::Fault;
use crate::grpc::{Channel, Method};
use crate::keys::{Keys, Token};
use crate::options::{Load, Options};
use crate::pb::etcd as pb;
use crate::record::Recording;
use crate::wire::Writer;

use super::{OWNER, callers, connections, has, keys, limit};

const TRANSACTION: &str = "/etcdserverpb.KV/Txn";
const DELETE: &str = "/etcdserverpb.KV/DeleteRange";
/// "the revision of its creation", in a comparison.
const CREATION: i32 = 1;

/// Puts the load on etcd; nothing if there is no such load for it. Batches are such: a
/// transaction takes 128 operations at most, unless the server is told otherwise.
pub async fn run(options: Options) -> anyhow::Result<Option<Recording>> {
    if !has(options.load, false) {
        return Ok(None);
    }
    let mut open = Vec::new();
    for _ in 0..connections(&options) {
        open.push(Channel::connect(&options.address).await?);
    }
    let keys = keys(&options);
    let claims = |channel: &Channel| Claims {
        transaction: channel.method(TRANSACTION),
        delete: channel.method(DELETE),
        writer: Writer::default(),
        keys,
        load: options.load,
    };
    if options.load == Load::Conflict
        && let Err(fault) = claims(&open[0]).claim(keys.token(0)).await
    {
        bail!("the token to ask for cannot be put: {fault}");
    }
    let callers = callers(&options, &open, claims);
    Ok(Some(drive(limit(&options), options.pid, callers).await))
}

struct Claims {
    transaction: Method,
    delete: Method,
    writer: Writer,
    keys: Keys,
    load: Load,
}

impl Claims {
    /// The owner, if there is one already.
    async fn claim(&mut self, token: Token) -> Result<Option<Vec<u8>>, Fault> {
        let framed = self.writer.message(&transaction(token));
        let answer: pb::TransactionAnswer = self.transaction.ask(framed).await?;
        if answer.succeeded {
            return Ok(None);
        }
        let first = answer
            .responses
            .into_iter()
            .next()
            .and_then(|answer| answer.response);
        let Some(pb::operation_answer::Response::Range(range)) = first else {
            return Err(Fault::unexpected("a transaction that has read nothing"));
        };
        let owner = range.kvs.into_iter().next().map(|pair| pair.value);
        Ok(Some(owner.unwrap_or_default()))
    }

    async fn win(&mut self, number: u64) -> Result<(), Fault> {
        match self.claim(self.keys.token(number)).await? {
            None => Ok(()),
            Some(_) => Err(Fault::unexpected("a claim has met an owner")),
        }
    }
}

impl Caller for Claims {
    async fn call(&mut self, number: u64) -> Result<Done, Fault> {
        match self.load {
            Load::Conflict => match self.claim(self.keys.token(0)).await? {
                Some(owner) if owner == OWNER.as_bytes() => Ok(Done::one("conflict")),
                _ => Err(Fault::unexpected("a conflict does not tell the owner")),
            },
            Load::ClaimRelease => {
                self.win(number).await?;
                let key = self.keys.token(number).text().into_bytes();
                let framed = self.writer.message(&pb::DeleteRange { key });
                let answer: pb::DeleteRangeAnswer = self.delete.ask(framed).await?;
                match answer.deleted {
                    1 => Ok(Done::one("released")),
                    _ => Err(Fault::unexpected("a token was not there to be released")),
                }
            }
            _ => {
                self.win(number).await?;
                Ok(Done::one("claimed"))
            }
        }
    }
}

fn transaction(token: Token) -> pb::Transaction {
    use pb::compare::TargetUnion;
    use pb::operation::Request;
    let key = || token.text().into_bytes();
    let operation = |request| {
        vec![pb::Operation {
            request: Some(request),
        }]
    };
    pb::Transaction {
        compare: vec![pb::Compare {
            result: 0,
            target: CREATION,
            key: key(),
            target_union: Some(TargetUnion::CreateRevision(0)),
        }],
        success: operation(Request::Put(pb::Put {
            key: key(),
            value: OWNER.into(),
        })),
        failure: operation(Request::Range(pb::Range { key: key() })),
    }
}
