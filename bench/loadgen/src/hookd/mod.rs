//! The loads for hookd.

use crate::drive::drive;
use crate::options::{Load, Options, Target};
use crate::record::Recording;

use session::Session;

mod claims;
mod conflicts;
mod lives;
mod log;
mod mixed;
mod reads;
mod releases;
mod resumes;
mod session;
mod waiters;

/// The paths of the methods.
mod path {
    pub const CREATE_HOOK: &str = "/hookd.v1.HookService/CreateHook";
    pub const CREATE_HOOKS: &str = "/hookd.v1.HookService/CreateHooks";
    pub const CLAIM_STREAM: &str = "/hookd.v1.HookService/ClaimStream";
    pub const DISPOSE_HOOK: &str = "/hookd.v1.HookService/DisposeHook";
    pub const GET_HOOK: &str = "/hookd.v1.HookService/GetHook";
    pub const RESUME_HOOK: &str = "/hookd.v1.HookService/ResumeHook";
    pub const AWAIT_RUN: &str = "/hookd.v1.RunService/AwaitRun";
    pub const COMPLETE_RUN: &str = "/hookd.v1.RunService/CompleteRun";
    pub const GET_RUN: &str = "/hookd.v1.RunService/GetRun";
    pub const LIST_EVENTS: &str = "/hookd.v1.RunService/ListEvents";
    pub const START_RUN: &str = "/hookd.v1.RunService/StartRun";
}

/// Sets up what the load needs, and puts it on the target; nothing if a server that does nothing
/// cannot serve it.
pub async fn run(options: Options) -> anyhow::Result<Option<Recording>> {
    let load = options.load;
    let claims = matches!(load, Load::Claim | Load::ClaimBatch | Load::ClaimStream);
    if options.target == Target::Empty && !claims {
        return Ok(None);
    }
    let s = Session::connect(options).await?;
    let (limit, pid) = (s.limit(), s.options.pid);
    let recording = match load {
        Load::Claim => drive(limit, pid, claims::unary(&s).await?).await,
        Load::ClaimBatch => drive(limit, pid, claims::batches(&s).await?).await,
        Load::ClaimStream | Load::Fill => drive(limit, pid, claims::streams(&s).await?).await,
        Load::Conflict => drive(limit, pid, conflicts::unary(&s).await?).await,
        Load::ConflictBatch => drive(limit, pid, conflicts::batches(&s).await?).await,
        Load::ConflictStream => drive(limit, pid, conflicts::streams(&s).await?).await,
        Load::ClaimRelease => drive(limit, pid, releases::pairs(&s).await?).await,
        Load::ResumeOne => drive(limit, pid, resumes::callers(&s, 1).await?).await,
        Load::ResumeMany => drive(limit, pid, resumes::callers(&s, s.runs).await?).await,
        Load::StartClaim => drive(limit, pid, lives::starts(&s)).await,
        Load::StartComplete => drive(limit, pid, lives::whole(&s)).await,
        Load::ReleaseAll => drive(limit, pid, lives::ends(&s)).await,
        Load::WaitResult => drive(limit, pid, waiters::completions(&s).await?).await,
        Load::Mixed => drive(limit, pid, mixed::callers(&s).await?).await,
        Load::Get => drive(limit, pid, reads::by_token(&s).await?).await,
        Load::LongRun => drive(limit, pid, log::callers(&s).await?).await,
    };
    Ok(Some(recording))
}
