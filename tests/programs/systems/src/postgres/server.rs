//! A small server of Postgres' protocol (by pgwire): one table of keys and values, and one of what
//! was done, in a journal.
//!
//! Statements are known by their words ([`GET`], [`PUT`] and the others). Transactions are those of
//! `READ COMMITTED`: what they wrote is seen by others once they are committed, and who writes
//! waits for those that have written and are still open (one lock, where Postgres has one a row).
//! `COMMIT` answers when what was written is durable. A connection that ends rolls back.

use super::stop;
use async_trait::async_trait;
use futures::stream;
use pgwire::api::auth::StartupHandler;
use pgwire::api::auth::noop::NoopStartupHandler;
use pgwire::api::portal::{Format, Portal};
use pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler};
use pgwire::api::results::{DataRowEncoder, FieldInfo, QueryResponse, Response, Tag};
use pgwire::api::stmt::QueryParser;
use pgwire::api::{ClientInfo, PgWireServerHandlers, Type};
use pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use seedfall_real::driver::{Files, Journal};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::OwnedMutexGuard;

pub(crate) const GET: &str = "SELECT value FROM kv WHERE key = $1";
pub(crate) const LOCK: &str = "SELECT value FROM kv WHERE key = $1 FOR UPDATE";
pub(crate) const PUT: &str = "INSERT INTO kv (key, value) VALUES ($1, $2) \
                              ON CONFLICT (key) DO UPDATE SET value = excluded.value";
pub(crate) const ONCE: &str = "INSERT INTO done (id) VALUES ($1) ON CONFLICT (id) DO NOTHING";

/// When a commit is durable.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Commit {
    /// Before it is answered.
    On,
    /// A while after it was answered, as with Postgres' `synchronous_commit = off`.
    Off,
}

/// What a transaction writes: keys of both tables, and values.
type Rows = BTreeMap<String, String>;

struct Kept {
    rows: Rows,
    journal: Journal<Files>,
}

struct Store {
    kept: Mutex<Kept>,
    writer: Arc<tokio::sync::Mutex<()>>,
    commit: Commit,
}

impl Store {
    fn open(commit: Commit) -> Self {
        let (journal, opened) = stop(Journal::open::<Rows>(stop(Files::new("postgres"))));
        let rows = opened.records.into_iter().flatten().collect();
        Self { kept: Mutex::new(Kept { rows, journal }), writer: Arc::default(), commit }
    }

    fn commit(&self, writes: Rows) {
        if writes.is_empty() {
            return;
        }
        let mut kept = locked(&self.kept);
        stop(kept.journal.append(&writes));
        if self.commit == Commit::On {
            stop(kept.journal.sync());
        }
        kept.rows.extend(writes);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A transaction that is open.
#[derive(Default)]
struct Open {
    /// Until `COMMIT` or `ROLLBACK`; if not, it is over after a statement.
    begun: bool,
    writes: Rows,
    writer: Option<OwnedMutexGuard<()>>,
}

/// A connection.
struct Backend {
    store: Arc<Store>,
    open: Mutex<Open>,
}

impl Backend {
    /// Does a statement; with its row, if it has one, or how many rows it changed.
    async fn execute(&self, statement: &str, words: Vec<String>) -> PgWireResult<Done> {
        let mut words = words.into_iter();
        let mut word = || words.next().ok_or_else(|| error("08P01", "a parameter is missing"));
        let done = match statement {
            GET => Done::Row(self.value(&word()?)),
            LOCK => {
                self.lock().await;
                Done::Row(self.value(&word()?))
            }
            PUT => {
                self.lock().await;
                locked(&self.open).writes.insert(word()?, word()?);
                Done::Changed(1)
            }
            ONCE => {
                self.lock().await;
                let id = format!("done/{}", word()?);
                let new = self.value(&id).is_none();
                locked(&self.open).writes.insert(id, String::new());
                Done::Changed(usize::from(new))
            }
            other => return Err(error("42601", &format!("not known here: {other}"))),
        };
        if !locked(&self.open).begun {
            self.end(true);
        }
        Ok(done)
    }

    /// What this transaction sees.
    fn value(&self, key: &str) -> Option<String> {
        let own = locked(&self.open).writes.get(key).cloned();
        own.or_else(|| locked(&self.store.kept).rows.get(key).cloned())
    }

    /// Waits until nobody else who has written is open.
    async fn lock(&self) {
        if locked(&self.open).writer.is_none() {
            let writer = Arc::clone(&self.store.writer).lock_owned().await;
            locked(&self.open).writer = Some(writer);
        }
    }

    fn end(&self, commit: bool) {
        let Open { writes, writer, .. } = std::mem::take(&mut *locked(&self.open));
        if commit {
            self.store.commit(writes);
        }
        drop(writer);
    }

    /// `BEGIN` and its kin, which come without parameters; Postgres warns of one too many.
    fn control(&self, query: &str) -> PgWireResult<Response> {
        let verb = query.split([' ', ';']).next().unwrap_or_default();
        Ok(match verb {
            "BEGIN" | "START" => {
                locked(&self.open).begun = true;
                Response::TransactionStart(Tag::new("BEGIN"))
            }
            "COMMIT" | "ROLLBACK" => {
                self.end(verb == "COMMIT");
                Response::TransactionEnd(Tag::new(verb))
            }
            _ => return Err(error("42601", &format!("not known here: {query}"))),
        })
    }
}

enum Done {
    Row(Option<String>),
    Changed(usize),
}

fn error(code: &str, why: &str) -> PgWireError {
    let info = ErrorInfo::new("ERROR".to_owned(), code.to_owned(), why.to_owned());
    PgWireError::UserError(Box::new(info))
}

#[async_trait]
impl SimpleQueryHandler for Backend {
    async fn do_query<C>(&self, _: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        Ok(vec![self.control(query)?])
    }
}

/// Statements are their words.
pub(crate) struct Words;

#[async_trait]
impl QueryParser for Words {
    type Statement = String;

    async fn parse_sql<C>(
        &self,
        _: &C,
        sql: &str,
        _: &[Option<Type>],
    ) -> PgWireResult<Option<String>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        Ok(Some(sql.to_owned()))
    }

    fn get_parameter_types(&self, statement: &String) -> PgWireResult<Vec<Type>> {
        Ok(vec![Type::TEXT; statement.matches('$').count()])
    }

    fn get_result_schema(
        &self,
        statement: &String,
        format: Option<&Format>,
    ) -> PgWireResult<Vec<FieldInfo>> {
        let format = format.unwrap_or(&Format::UnifiedBinary).format_for(0);
        let value = FieldInfo::new("value".to_owned(), None, None, Type::TEXT, format);
        Ok(if statement.starts_with("SELECT") { vec![value] } else { Vec::new() })
    }
}

#[async_trait]
impl ExtendedQueryHandler for Backend {
    type Statement = String;
    type QueryParser = Words;

    fn query_parser(&self) -> Arc<Words> {
        Arc::new(Words)
    }

    async fn do_query<C>(
        &self,
        _: &mut C,
        portal: &Portal<String>,
        _: usize,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        let statement = &portal.statement.statement;
        let word = |at| Ok(portal.parameter::<String>(at, &Type::TEXT)?.unwrap_or_default());
        let words = (0..portal.parameter_len()).map(word).collect::<PgWireResult<_>>()?;
        let value = match self.execute(statement, words).await? {
            Done::Row(value) => value,
            Done::Changed(rows) => {
                return Ok(Response::Execution(Tag::new("INSERT 0").with_rows(rows)));
            }
        };
        let schema = Words.get_result_schema(statement, Some(&portal.result_column_format))?;
        let schema = Arc::new(schema);
        let mut encoder = DataRowEncoder::new(Arc::clone(&schema));
        let row = value.map(|value| encoder.encode_field(&value).map(|()| encoder.take_row()));
        Ok(Response::Query(QueryResponse::new(schema, stream::iter(row))))
    }
}

/// Lets everybody in.
struct Anybody;

impl NoopStartupHandler for Anybody {}

struct Handlers(Arc<Backend>);

impl PgWireServerHandlers for Handlers {
    fn simple_query_handler(&self) -> Arc<impl SimpleQueryHandler> {
        Arc::clone(&self.0)
    }

    fn extended_query_handler(&self) -> Arc<impl ExtendedQueryHandler> {
        Arc::clone(&self.0)
    }

    fn startup_handler(&self) -> Arc<impl StartupHandler> {
        Arc::new(Anybody)
    }
}

/// The server's `main`.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn serve(commit: Commit) -> std::io::Result<()> {
    let store = Arc::new(Store::open(commit));
    if commit == Commit::Off {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(200)).await;
                stop(locked(&store.kept).journal.sync());
            }
        });
    }
    let listener = TcpListener::bind("0.0.0.0:5432").await?;
    loop {
        let (socket, _) = listener.accept().await?;
        let backend = Backend { store: Arc::clone(&store), open: Mutex::default() };
        let handlers = Handlers(Arc::new(backend));
        tokio::spawn(async move { pgwire::tokio::process_socket(socket, None, handlers).await });
    }
}
