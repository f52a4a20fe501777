//! Claims as `SET token owner NX` on Redis.

use anyhow::bail;

use crate::batches::Batches;
use crate::drive::{Caller, Done, drive};
use crate::fault::Fault;
use crate::keys::Keys;
use crate::options::{Load, Options};
use crate::record::Recording;

use super::{OWNER, batches, callers, connections, has, keys, limit};
use connection::{Connection, Reply};

mod connection;

/// Puts the load on Redis; nothing if there is no such load for it.
pub async fn run(options: Options) -> anyhow::Result<Option<Recording>> {
    if !has(options.load, true) {
        return Ok(None);
    }
    let mut open = Vec::new();
    for _ in 0..connections(&options) {
        open.push(Connection::open(&options.address).await?);
    }
    let keys = keys(&options);
    if options.load == Load::Conflict {
        let reply = open[0].ask(vec![set(&keys, 0)]).await?.pop();
        if !matches!(reply, Some(Reply::Ok | Reply::Nothing)) {
            bail!("the token to ask for cannot be set: {reply:?}");
        }
    }
    let callers = callers(&options, &open, |connection| Claims {
        connection: connection.clone(),
        keys,
        load: options.load,
        batches: batches(&options),
    });
    Ok(Some(drive(limit(&options), options.pid, callers).await))
}

fn set(keys: &Keys, number: u64) -> Vec<u8> {
    connection::command(&["SET", keys.token(number).as_str(), OWNER, "NX"])
}

struct Claims {
    connection: Connection,
    keys: Keys,
    load: Load,
    batches: Batches,
}

impl Claims {
    async fn ask(&self, command: Vec<u8>) -> Result<Reply, Fault> {
        let mut replies = self.connection.ask(vec![command]).await?;
        replies.pop().ok_or_else(|| Fault::unexpected("no reply"))
    }

    async fn claim(&self, number: u64) -> Result<(), Fault> {
        won(&self.ask(set(&self.keys, number)).await?)
    }
}

fn won(reply: &Reply) -> Result<(), Fault> {
    match reply {
        Reply::Ok => Ok(()),
        other => Err(Fault::unexpected(format!("a claim came to {other:?}"))),
    }
}

impl Caller for Claims {
    async fn call(&mut self, number: u64) -> Result<Done, Fault> {
        match self.load {
            Load::ClaimBatch => {
                let numbers = self.batches.numbers(number);
                let commands = numbers.map(|number| set(&self.keys, number)).collect();
                let replies = self.connection.ask(commands).await?;
                replies.iter().try_for_each(won)?;
                Ok(Done::of("claimed", replies.len() as u64))
            }
            Load::Conflict => {
                let token = self.keys.token(0);
                let command = ["SET", token.as_str(), OWNER, "NX", "GET"];
                match self.ask(connection::command(&command)).await? {
                    Reply::Text(owner) if owner == OWNER => Ok(Done::one("conflict")),
                    other => Err(Fault::unexpected(format!("a conflict came to {other:?}"))),
                }
            }
            Load::ClaimRelease => {
                self.claim(number).await?;
                let token = self.keys.token(number);
                match self
                    .ask(connection::command(&["DEL", token.as_str()]))
                    .await?
                {
                    Reply::Number(1) => Ok(Done::one("released")),
                    other => Err(Fault::unexpected(format!("a release came to {other:?}"))),
                }
            }
            _ => {
                self.claim(number).await?;
                Ok(Done::one("claimed"))
            }
        }
    }
}
