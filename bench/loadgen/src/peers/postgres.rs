//! Claims as rows of a table with a primary key on `PostgreSQL`.

use std::sync::Arc;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Statement};

use crate::batches::{Batches, count};
use crate::drive::{Caller, Done, drive};
use crate::fault::Fault;
use crate::keys::Keys;
use crate::options::{Load, Options};
use crate::record::Recording;

use super::{OWNER, batches, callers, connections, has, keys, limit};

const TABLE: &str = "CREATE TABLE IF NOT EXISTS tokens (token text PRIMARY KEY, owner bytea)";
const CLAIM: &str = "INSERT INTO tokens VALUES ($1, $2) ON CONFLICT DO NOTHING";
const CLAIM_MANY: &str = "INSERT INTO tokens SELECT token, $2 FROM unnest($1::text[]) AS token \
                          ON CONFLICT DO NOTHING";
/// One statement; tells the owner if somebody has the token.
const CLAIM_OR_TELL: &str = "WITH claim AS \
    (INSERT INTO tokens VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING token) \
    SELECT owner FROM tokens WHERE token = $1 AND NOT EXISTS (SELECT FROM claim)";
const RELEASE: &str = "DELETE FROM tokens WHERE token = $1";

/// Puts the load on `PostgreSQL`; nothing if there is no such load for it.
pub async fn run(options: Options) -> anyhow::Result<Option<Recording>> {
    if !has(options.load, true) {
        return Ok(None);
    }
    let mut open = Vec::new();
    for number in 0..connections(&options) {
        let (client, connection) = tokio_postgres::connect(&options.address, NoTls).await?;
        // What ends the connection is seen by the statements on it.
        tokio::spawn(async { drop(connection.await) });
        if number == 0 {
            // Says nothing if the table is there.
            client
                .batch_execute("SET client_min_messages = warning")
                .await?;
            client.batch_execute(TABLE).await?;
        }
        open.push(Arc::new(Connection::prepare(client).await?));
    }
    let keys = keys(&options);
    if options.load == Load::Conflict {
        let token = keys.token(0);
        open[0]
            .client
            .execute(&open[0].claim, &[&token.as_str(), &OWNER.as_bytes()])
            .await?;
    }
    let callers = callers(&options, &open, |connection| Claims {
        connection: connection.clone(),
        keys,
        load: options.load,
        batches: batches(&options),
    });
    Ok(Some(drive(limit(&options), options.pid, callers).await))
}

struct Connection {
    client: Client,
    claim: Statement,
    claim_many: Statement,
    claim_or_tell: Statement,
    release: Statement,
}

impl Connection {
    async fn prepare(client: Client) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            claim: client.prepare(CLAIM).await?,
            claim_many: client.prepare(CLAIM_MANY).await?,
            claim_or_tell: client.prepare(CLAIM_OR_TELL).await?,
            release: client.prepare(RELEASE).await?,
            client,
        })
    }
}

struct Claims {
    connection: Arc<Connection>,
    keys: Keys,
    load: Load,
    batches: Batches,
}

impl Claims {
    async fn claim(&self, number: u64) -> Result<(), Fault> {
        let Connection { client, claim, .. } = &*self.connection;
        let token = self.keys.token(number);
        let rows = client
            .execute(claim, &[&token.as_str(), &OWNER.as_bytes()])
            .await;
        expect(1, rows.map_err(fault)?)
    }
}

impl Caller for Claims {
    async fn call(&mut self, number: u64) -> Result<Done, Fault> {
        let Connection {
            client,
            claim_many,
            claim_or_tell,
            release,
            ..
        } = &*self.connection;
        match self.load {
            Load::ClaimBatch => {
                let numbers = self.batches.numbers(number);
                let size = count(&numbers);
                let tokens: Vec<_> = numbers.map(|number| self.keys.token(number)).collect();
                let texts: Vec<_> = tokens.iter().map(crate::keys::Text::as_str).collect();
                let rows = client
                    .execute(claim_many, &[&texts, &OWNER.as_bytes()])
                    .await;
                expect(size, rows.map_err(fault)?)?;
                Ok(Done::of("claimed", size))
            }
            Load::Conflict => {
                let token = self.keys.token(0);
                let values: [&(dyn ToSql + Sync); 2] = [&token.as_str(), &OWNER.as_bytes()];
                let row = client
                    .query_opt(claim_or_tell, &values)
                    .await
                    .map_err(fault)?;
                match row.map(|row| row.try_get::<_, Vec<u8>>(0)) {
                    Some(Ok(owner)) if owner == OWNER.as_bytes() => Ok(Done::one("conflict")),
                    _ => Err(Fault::unexpected("a conflict does not tell the owner")),
                }
            }
            Load::ClaimRelease => {
                self.claim(number).await?;
                let token = self.keys.token(number);
                let rows = client.execute(release, &[&token.as_str()]).await;
                expect(1, rows.map_err(fault)?)?;
                Ok(Done::one("released"))
            }
            _ => {
                self.claim(number).await?;
                Ok(Done::one("claimed"))
            }
        }
    }
}

fn expect(wanted: u64, rows: u64) -> Result<(), Fault> {
    if rows == wanted {
        return Ok(());
    }
    Err(Fault::unexpected(format!(
        "a statement has changed {rows} rows instead of {wanted}"
    )))
}

fn fault(error: tokio_postgres::Error) -> Fault {
    if error.is_closed() {
        return Fault::lost(error);
    }
    // The error itself says only that it is one of the database's.
    let from_database = error.as_db_error().map(ToString::to_string);
    Fault::unexpected(from_database.unwrap_or_else(|| error.to_string()))
}
