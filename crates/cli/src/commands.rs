//! The one table of commands, from which dispatch, usage and help follow.

use std::pin::Pin;

use crate::args::global::{HTTP, OUTPUT};
use crate::args::{Flag, Takes};
use crate::call::Call;
use crate::outcome::Outcome;
use crate::run;
use crate::world::World;

/// A command that waits for a server.
type Online = for<'a> fn(&'a mut Call) -> Pin<Box<dyn Future<Output = Outcome> + 'a>>;

/// How a command is run.
#[derive(Clone, Copy)]
pub(crate) enum Run {
    /// On a small runtime, with flags parsed, global flags included.
    Online(Online),
    /// Without a runtime, with the flags of the table parsed.
    Local(fn(&mut Call) -> Outcome),
    /// With the arguments as typed: the command parses them itself and brings its own runtime.
    Raw(fn(&mut World, Vec<String>) -> Outcome),
}

/// One command.
pub(crate) struct Command {
    /// One to three words.
    pub(crate) name: &'static str,
    /// One sentence.
    pub(crate) summary: &'static str,
    /// What follows the flags.
    pub(crate) operands: &'static str,
    pub(crate) flags: &'static [Flag],
    pub(crate) run: Run,
}

impl Command {
    /// The flag of this name, the command's own before the global ones.
    pub(crate) fn flag(&self, name: &str) -> Option<&'static Flag> {
        self.all_flags().find(|flag| flag.name == name || flag.alias == Some(name))
    }

    /// The command's own flags, then the global ones.
    pub(crate) fn all_flags(&self) -> impl Iterator<Item = &'static Flag> {
        let global: &[&'static [Flag]] = match self.run {
            Run::Online(_) => &[HTTP, OUTPUT],
            Run::Local(_) => &[OUTPUT],
            Run::Raw(_) => &[],
        };
        self.flags.iter().chain(global.iter().copied().flatten())
    }

    /// Usage, summary and flags.
    pub(crate) fn help(&self, program: &str) -> String {
        let mut text =
            format!("Usage: {program} {} [options] {}\n\n  {}\n", self.name, self.operands, self.summary);
        let mut section = |title: &str, flags: &[Flag]| {
            if flags.is_empty() {
                return;
            }
            text.push_str(&format!("\n{title}:\n"));
            for flag in flags {
                let alias = flag.alias.map(|alias| format!(", -{alias}")).unwrap_or_default();
                let value = if flag.takes == Takes::Nothing { "" } else { "=<value>" };
                text.push_str(&format!("\n  -{}{alias}{value}\n      {}\n", flag.name, flag.summary));
            }
        };
        section("Command options", self.flags);
        if matches!(self.run, Run::Online(_)) {
            section("HTTP options", HTTP);
        }
        if !matches!(self.run, Run::Raw(_)) {
            section("Output options", OUTPUT);
        }
        text
    }
}

macro_rules! online {
    ($($path:tt)+) => { Run::Online(|call| Box::pin($($path)+(call))) };
}

const fn row(
    name: &'static str,
    operands: &'static str,
    summary: &'static str,
    flags: &'static [Flag],
    run: Run,
) -> Command {
    Command { name, summary, operands, flags, run }
}

const NONE: &[Flag] = &[];

/// Every command, in the order in which help lists them.
pub(crate) const COMMANDS: &[Command] = &[
    row("server", "", "Start a server.", run::server::FLAGS, Run::Raw(run::server::server)),
    row(
        "agent",
        "",
        "Keep secrets for the programs of this host: files, templates, a local socket.",
        run::agent::FLAGS,
        Run::Raw(run::agent::agent),
    ),
    row("read", "PATH [K=V...]", "Read data at a path.", NONE, online!(run::generic::read)),
    row("write", "PATH [K=V...]", "Write data to a path.", run::generic::WRITE, online!(run::generic::write)),
    row("patch", "PATH [K=V...]", "Merge data into what is at a path.", NONE, online!(run::generic::patch)),
    row("delete", "PATH [K=V...]", "Delete what is at a path.", NONE, online!(run::generic::delete)),
    row("list", "PATH", "List the names under a path.", run::generic::LIST, online!(run::generic::list)),
    row(
        "login",
        "[TOKEN | K=V...]",
        "Log in and keep the token.",
        run::login::FLAGS,
        online!(run::login::login),
    ),
    row("status", "", "Show whether the server is sealed.", NONE, online!(run::status::status)),
    row("unwrap", "[TOKEN]", "Open a wrapped answer, once.", NONE, online!(run::generic::unwrap)),
    row(
        "run",
        "[--] COMMAND [ARGS...]",
        "Run a command with the secrets of coffre.toml in its environment.",
        run::launch::FLAGS,
        online!(run::launch::launch),
    ),
    row(
        "explain",
        "[VARIABLE...]",
        "Tell where each variable of coffre.toml comes from; never its value.",
        run::explain::FLAGS,
        Run::Local(run::explain::explain),
    ),
    row(
        "migrate init",
        "[ENV_FILE...]",
        "Write coffre.toml for what the .env files hold, or add to it.",
        run::migrate::INIT,
        Run::Local(run::migrate::init),
    ),
    row(
        "migrate plan",
        "[ENV_FILE...]",
        "Say what would be written to the vault, and keep it.",
        run::migrate::PLAN,
        online!(run::migrate::plan),
    ),
    row("migrate apply", "", "Write what the plan says.", run::migrate::CHANGE, online!(run::migrate::apply)),
    row(
        "migrate verify",
        "[ENV_FILE...]",
        "Read everything back as the application's own role, and compare.",
        run::migrate::VERIFY,
        online!(run::migrate::verify),
    ),
    row(
        "migrate cutover",
        "",
        "Switch programs over to the vault with one write.",
        run::migrate::after::CUTOVER,
        online!(run::migrate::after::cutover),
    ),
    row(
        "migrate retire",
        "",
        "Take the secrets out of the files, which are kept in a sealed archive.",
        run::migrate::after::RETIRE,
        online!(run::migrate::after::retire),
    ),
    row(
        "migrate recovery-key",
        "FILE",
        "Make the key that archives of retired files are sealed to.",
        run::migrate::after::RECOVERY_KEY,
        Run::Local(run::migrate::after::make_recovery_key),
    ),
    row(
        "migrate rotated",
        "NAME...",
        "Say that a variable which stood in a file has another value now.",
        run::migrate::after::ROTATED,
        Run::Local(run::migrate::after::rotated),
    ),
    row(
        "migrate hygiene",
        "",
        "Look for files with secrets where python-dotenv and Flask would find them.",
        run::migrate::hygiene::HYGIENE,
        Run::Local(run::migrate::hygiene::hygiene),
    ),
    row(
        "migrate rollback",
        "",
        "Take back what the last plan did, or a part of it.",
        run::migrate::after::ROLLBACK,
        online!(run::migrate::after::rollback),
    ),
    row(
        "migrate status",
        "",
        "Show where the migration stands.",
        run::migrate::STATUS,
        Run::Local(run::migrate::status),
    ),
    row(
        "rotate status",
        "[TARGET...]",
        "Show where each secret that rotates stands, and who is waited for.",
        run::rotate::WISH,
        online!(run::rotate::status),
    ),
    row(
        "rotate plan",
        "TARGET",
        "Show what the next rotation does, and when.",
        run::rotate::LOOK,
        online!(run::rotate::plan),
    ),
    row(
        "rotate now",
        "TARGET",
        "Rotate at once; -compromised without any overlap.",
        run::rotate::NOW,
        online!(run::rotate::now),
    ),
    row(
        "rotate provide",
        "TARGET",
        "Bring the new value of a key that somebody else issues, on standard input.",
        run::rotate::PROVIDE,
        online!(run::rotate::provide),
    ),
    row(
        "rotate confirm-revoked",
        "TARGET",
        "Say that the old key is revoked where it was issued; it is tried.",
        run::rotate::WISH,
        online!(run::rotate::confirm_revoked),
    ),
    row(
        "rotate approve",
        "TARGET",
        "Consent to the destruction of an old encryption key, as whoever is logged in.",
        run::rotate::APPROVE,
        online!(run::rotate::approve),
    ),
    row(
        "rotate undo",
        "TARGET",
        "Take back what was begun and is not in use yet.",
        run::rotate::WISH,
        online!(run::rotate::undo),
    ),
    row(
        "rotate rollback",
        "TARGET",
        "Use the secret before again, while it is still accepted.",
        run::rotate::WISH,
        online!(run::rotate::rollback),
    ),
    row("rotate resume", "TARGET", "Go on after a halt.", run::rotate::RESUME, online!(run::rotate::resume)),
    row(
        "rotate break-glass",
        "TARGET",
        "Read an earlier generation that is not destroyed yet; who and why goes into the history.",
        run::rotate::BREAK_GLASS,
        online!(run::rotate::break_glass),
    ),
    row(
        "rotate freeze",
        "",
        "Stop all rotation of an environment.",
        run::rotate::FREEZE,
        online!(run::rotate::freeze),
    ),
    row("rotate unfreeze", "", "Let rotation go on.", run::rotate::LOOK, online!(run::rotate::unfreeze)),
    row(
        "rotate history",
        "TARGET",
        "Show what happened to a target, and whether the record of it holds.",
        run::rotate::HISTORY,
        online!(run::rotate::history),
    ),
    row(
        "rotate enable",
        "[TARGET...]",
        "Let targets rotate by themselves; refuse what would fail at night.",
        run::rotate::ENABLE,
        online!(run::rotate::enable),
    ),
    row(
        "rotate disable",
        "TARGET...",
        "Let targets rotate only when somebody asks.",
        run::rotate::LOOK,
        online!(run::rotate::disable),
    ),
    row(
        "rotate run",
        "",
        "Run the rotation engine as a service, or once.",
        run::rotate::RUN,
        online!(run::rotate::run),
    ),
    row(
        "demo",
        "",
        "Show the main job on a sample application, in a temporary directory.",
        run::demo::FLAGS,
        Run::Raw(run::demo::demo),
    ),
    row("path-help", "PATH", "Show the help of a path.", NONE, online!(run::generic::path_help)),
    row("print token", "", "Print the token in use.", NONE, Run::Local(run::local::print_token)),
    row("version", "", "Print the version.", NONE, Run::Local(run::local::version)),
    row(
        "version-history",
        "",
        "List the versions that the server has run with.",
        NONE,
        online!(run::release::version_history),
    ),
    row(
        "plugin list",
        "[auth | database | secret]",
        "List the engines and login methods that are built in.",
        NONE,
        online!(run::release::plugin_list),
    ),
    row("plugin info", "TYPE NAME", "Show one of them.", NONE, online!(run::release::plugin_info)),
    row("completion bash", "", "Print bash's completion.", NONE, Run::Local(run::completion::bash)),
    row("completion zsh", "", "Print zsh's completion.", NONE, Run::Local(run::completion::zsh)),
    row("completion fish", "", "Print fish's completion.", NONE, Run::Local(run::completion::fish)),
    row(
        "completion words",
        "[--] WORDS...",
        "Print what may stand in place of the last word; the scripts ask this.",
        run::completion::WORDS,
        Run::Local(run::completion::words),
    ),
    row("man", "DIRECTORY", "Write the manual pages.", NONE, Run::Local(run::completion::man)),
    row("kv get", "PATH", "Read a document.", run::kv::GET, online!(run::kv::get)),
    row("kv put", "PATH [K=V...]", "Write a document.", run::kv::PUT, online!(run::kv::put)),
    row("kv patch", "PATH [K=V...]", "Merge into a document.", run::kv::PATCH, online!(run::kv::patch)),
    row("kv list", "PATH", "List documents.", run::kv::MOUNT, online!(run::kv::list)),
    row("kv delete", "PATH", "Delete versions softly.", run::kv::VERSIONS, online!(run::kv::delete)),
    row("kv undelete", "PATH", "Take a soft deletion back.", run::kv::VERSIONS, online!(run::kv::undelete)),
    row("kv destroy", "PATH", "Remove versions for good.", run::kv::VERSIONS, online!(run::kv::destroy)),
    row(
        "kv rollback",
        "PATH",
        "Make an older version the newest.",
        run::kv::ROLLBACK,
        online!(run::kv::rollback),
    ),
    row("kv enable-versioning", "PATH", "Turn KV v1 into KV v2.", NONE, online!(run::kv::enable_versioning)),
    row("kv metadata get", "PATH", "Show all versions.", run::kv::MOUNT, online!(run::kv_metadata::get)),
    row(
        "kv metadata put",
        "PATH",
        "Set a document's settings.",
        run::kv_metadata::PUT,
        online!(run::kv_metadata::put),
    ),
    row(
        "kv metadata patch",
        "PATH",
        "Change some settings.",
        run::kv_metadata::PATCH,
        online!(run::kv_metadata::patch),
    ),
    row(
        "kv metadata delete",
        "PATH",
        "Remove all versions for good.",
        run::kv::MOUNT,
        online!(run::kv_metadata::delete),
    ),
    row(
        "secrets enable",
        "TYPE",
        "Mount a secrets engine.",
        run::mounts::ENABLE,
        online!(run::mounts::secrets_enable),
    ),
    row("secrets list", "", "List secrets engines.", NONE, online!(run::mounts::secrets_list)),
    row(
        "secrets disable",
        "PATH",
        "Unmount a secrets engine and delete its data.",
        NONE,
        online!(run::mounts::secrets_disable),
    ),
    row(
        "secrets tune",
        "PATH",
        "Change an engine's settings.",
        run::mounts::TUNE,
        online!(run::mounts::secrets_tune),
    ),
    row(
        "secrets move",
        "SOURCE DESTINATION",
        "Move an engine to another path.",
        NONE,
        online!(run::mounts::secrets_move),
    ),
    row(
        "auth enable",
        "TYPE",
        "Enable an auth method.",
        run::mounts::ENABLE,
        online!(run::mounts::auth_enable),
    ),
    row("auth list", "", "List auth methods.", NONE, online!(run::mounts::auth_list)),
    row("auth disable", "PATH", "Disable an auth method.", NONE, online!(run::mounts::auth_disable)),
    row(
        "auth tune",
        "PATH",
        "Change a method's settings.",
        run::mounts::TUNE,
        online!(run::mounts::auth_tune),
    ),
    row(
        "auth move",
        "SOURCE DESTINATION",
        "Move a method to another path.",
        NONE,
        online!(run::mounts::auth_move),
    ),
    row(
        "auth help",
        "TYPE | PATH",
        "Show how to log in with a method.",
        NONE,
        online!(run::mounts::auth_help),
    ),
    row("policy write", "NAME FILE | -", "Create or replace a policy.", NONE, online!(run::policy::write)),
    row("policy read", "NAME", "Print a policy.", NONE, online!(run::policy::read)),
    row("policy list", "", "List policies.", NONE, online!(run::policy::list)),
    row("policy delete", "NAME", "Delete a policy.", NONE, online!(run::policy::delete)),
    row(
        "policy explain",
        "OPERATION PATH [K=V...]",
        "Tell which rule decides about a request, and why: asked of the server, or of policy files without one.",
        run::policy_explain::FLAGS,
        online!(run::policy_explain::explain),
    ),
    row("policy fmt", "FILE", "Indent a policy file in place.", NONE, Run::Local(run::policy::fmt)),
    row("token create", "", "Create a token.", run::token::CREATE, online!(run::token::create)),
    row(
        "token lookup",
        "[TOKEN | ACCESSOR]",
        "Show what is known about a token.",
        run::token::LOOKUP,
        online!(run::token::lookup),
    ),
    row("token renew", "[TOKEN]", "Make a token live longer.", run::token::RENEW, online!(run::token::renew)),
    row(
        "token revoke",
        "[TOKEN | ACCESSOR]",
        "End a token and what hangs on it.",
        run::token::REVOKE,
        online!(run::token::revoke),
    ),
    row(
        "token capabilities",
        "[TOKEN] PATH",
        "Show what a token may do at a path.",
        NONE,
        online!(run::token::capabilities),
    ),
    row(
        "audit enable",
        "TYPE [K=V...]",
        "Enable an audit device.",
        run::audit::ENABLE,
        online!(run::audit::enable),
    ),
    row("audit list", "", "List audit devices.", NONE, online!(run::audit::list)),
    row("audit disable", "PATH", "Disable an audit device.", NONE, online!(run::audit::disable)),
    row(
        "audit verify",
        "FILE...",
        "Check that the entries of a log, or of its rotated files in their order, are all there and unchanged.",
        run::audit::VERIFY,
        online!(run::audit::verify),
    ),
    row("lease lookup", "ID", "Show a lease.", NONE, online!(run::lease::lookup)),
    row("lease renew", "ID", "Make a lease last longer.", run::lease::RENEW, online!(run::lease::renew)),
    row("lease revoke", "ID", "End leases.", run::lease::REVOKE, online!(run::lease::revoke)),
    row("operator init", "", "Initialise the server.", run::operator::INIT, online!(run::operator::init)),
    row(
        "operator unseal",
        "[KEY]",
        "Give one unseal key.",
        run::operator::UNSEAL,
        online!(run::operator::unseal),
    ),
    row("operator seal", "", "Seal the server.", NONE, online!(run::operator::seal)),
    row("operator step-down", "", "Let another node take over.", NONE, online!(run::operator::step_down)),
    row(
        "operator key-status",
        "",
        "Show the encryption key's age.",
        NONE,
        online!(run::operator::key_status),
    ),
    row("operator rotate", "", "Make a new encryption key.", NONE, online!(run::operator::rotate)),
    row("operator members", "", "List the cluster's nodes.", NONE, online!(run::operator::members)),
    row(
        "operator generate-root",
        "[KEY]",
        "Make a new root token.",
        run::generate_root::FLAGS,
        online!(run::generate_root::generate_root),
    ),
    row("operator rekey", "[KEY]", "Make new unseal keys.", run::rekey::FLAGS, online!(run::rekey::rekey)),
    row(
        "operator validate-config",
        "[FILE | FOLDER]...",
        "Check the files that a server would start with.",
        run::diagnose::FLAGS,
        Run::Local(run::diagnose::validate_config),
    ),
    row(
        "operator diagnose",
        "[FILE | FOLDER]...",
        "Check what a server would start with: its configuration, certificates and folders.",
        run::diagnose::FLAGS,
        Run::Local(run::diagnose::diagnose),
    ),
];

/// What a command line names.
pub(crate) enum Found {
    /// A command, and how many words named it.
    Command(&'static Command, usize),
    /// The first words of several commands, such as `kv`.
    Group(String),
    /// Nothing, but perhaps this was meant.
    Unknown(Option<&'static str>),
}

/// Finds the command that the leading words name.
pub(crate) fn find(args: &[String]) -> Found {
    for words in (1..=3).rev() {
        let Some(typed) = args.get(..words) else { continue };
        let name = typed.join(" ");
        if let Some(command) = COMMANDS.iter().find(|command| command.name == name) {
            return Found::Command(command, words);
        }
    }
    let words: Vec<&str> =
        args.iter().map(String::as_str).take_while(|word| !word.starts_with('-')).collect();
    for many in (1..=words.len().min(2)).rev() {
        let prefix = words.get(..many).unwrap_or_default().join(" ");
        if COMMANDS.iter().any(|command| command.name.starts_with(&format!("{prefix} "))) {
            // A group with an unknown word after it is answered with the group's commands.
            return Found::Group(prefix);
        }
    }
    let typed = words.first().copied().unwrap_or_default();
    let known = COMMANDS.iter().filter_map(|command| command.name.split(' ').next());
    Found::Unknown(crate::recommend::similar(typed, known))
}

/// The commands of a group (all of them without one), with their summaries.
pub(crate) fn overview(program: &str, group: Option<&str>) -> String {
    let prefix = group.map(|group| format!("{group} ")).unwrap_or_default();
    let listed = COMMANDS.iter().filter(|command| command.name.starts_with(&prefix));
    let rows: Vec<Vec<String>> =
        listed.map(|command| vec![format!("  {}", command.name), command.summary.to_owned()]).collect();
    format!("Usage: {program} {prefix}<command> [options] [args]\n\n{}", crate::render::columns(&rows))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_table_is_consistent() {
        let mut names = BTreeSet::new();
        for command in COMMANDS {
            assert!(names.insert(command.name), "{} twice", command.name);
            assert!(command.summary.ends_with('.'), "{}: a sentence", command.name);
            let mut flags = BTreeSet::new();
            for flag in command.flags {
                assert!(flags.insert(flag.name), "{}: -{} twice", command.name, flag.name);
                assert!(flag.alias.is_none_or(|alias| flags.insert(alias)), "{}", command.name);
                assert!(flag.summary.ends_with('.'), "{} -{}", command.name, flag.name);
            }
            assert!(command.help("coffre").contains(command.summary));
        }
        for flag in HTTP.iter().chain(OUTPUT) {
            assert!(flag.summary.ends_with('.'), "-{}", flag.name);
        }
    }

    #[test]
    fn words_find_commands() {
        let find = |line: &str| find(&line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert!(
            matches!(find("kv metadata get x"), Found::Command(command, 3) if command.name == "kv metadata get")
        );
        assert!(matches!(find("read kv"), Found::Command(command, 1) if command.name == "read"));
        assert!(matches!(find("kv"), Found::Group(group) if group == "kv"));
        assert!(matches!(find("kv metadata nope"), Found::Group(group) if group == "kv metadata"));
        assert!(matches!(find("staus"), Found::Unknown(Some("status"))));
        assert!(matches!(find("xyzzyx"), Found::Unknown(None)));
    }
}
