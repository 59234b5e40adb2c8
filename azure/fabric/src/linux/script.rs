//! Runs a script in a machine: in its namespaces and its control group, with its root, as its root user.
//!
//! Guarantees: the script is seen in no argument list of the host and written by nobody but the machine itself (a machine
//! that lies about its own files fools only itself); it has the machine's limits and ends with the machine; background
//! processes that it leaves do not keep the caller waiting.

use std::io::Write;
use std::process::{Command, Stdio};

use super::life::Lives;
use super::{Cause, blocking, host};
use crate::fabric::FabricError;
use crate::ids::MachineId;
use crate::script::{SCRIPT_LIMIT, SCRIPT_OUTPUT_MAX_BYTES, Script, ScriptEnd};

/// Waits for a line, so that the caller can put it where it belongs, then enters the machine.
const ENTER: &str =
    r#"read -r _ && exec nsenter --target "$1" --mount --uts --ipc --net --pid --cgroup -- /bin/sh -s"#;
/// Where Azure's extension keeps scripts and their output.
const DIRECTORY: &str = "/var/lib/waagent/run-command/download";

/// Runs it and waits for its end.
pub(super) async fn run(lives: &Lives, id: &MachineId, script: Script) -> Result<ScriptEnd, FabricError> {
    let off = || FabricError::Off(id.clone());
    let init = lives.init(id).filter(::linux::Process::is_alive).ok_or_else(off)?;
    let (group, id) = (lives.group(id), id.clone());
    blocking(move || {
        let deed = || format!("run a script in machine {id}");
        let group = ::linux::cgroup::Group::new(&group).map_err(host(deed()))?;
        enter(init.pid, &group, &program(&script)).map_err(host(deed()))
    })
    .await
}

fn enter(init: i32, group: &::linux::cgroup::Group, program: &str) -> Result<ScriptEnd, Cause> {
    let mut child = Command::new("/bin/sh")
        .args(["-c", ENTER, "run-command", &init.to_string()])
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", "/root")
        .env("LANG", "C.UTF-8")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let input = child.stdin.take();
    let joined = i32::try_from(child.id()).map_err(Cause::from).and_then(|pid| Ok(group.add(pid)?));
    let output = std::thread::scope(|scope| {
        if let (Some(mut pipe), Ok(())) = (input, &joined) {
            scope.spawn(move || pipe.write_all(b"\n").and_then(|()| pipe.write_all(program.as_bytes())));
        }
        child.wait_with_output()
    })?;
    joined?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(ScriptEnd {
        exit_code: output.status.code().unwrap_or(LOST),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    })
}

/// The exit code of a script whose machine went away.
const LOST: i32 = 137;

/// What the machine's shell reads: writes the script down, runs it with its output in files, prints their ends.
fn program(script: &Script) -> String {
    let quoted = |words: &mut dyn Iterator<Item = String>| words.collect::<Vec<_>>().join(" ");
    let mut variables = script.environment.iter().map(|(name, value)| quote(&format!("{name}={value}")));
    let mut arguments = script.arguments.iter().map(|argument| quote(argument));
    format!(
        "umask 077\nmkdir -p {DIRECTORY} && d=$(mktemp -d {DIRECTORY}/XXXXXX) && printf %s {text} >\"$d/script.sh\" || exit 126\n\
         env -- {variables} timeout -k 5 {limit} /bin/sh \"$d/script.sh\" {arguments} </dev/null >\"$d/stdout\" 2>\"$d/stderr\"\n\
         code=$?\ntail -c {kept} \"$d/stdout\"\ntail -c {kept} \"$d/stderr\" >&2\nexit $code\n",
        text = quote(&script.text),
        variables = quoted(&mut variables),
        arguments = quoted(&mut arguments),
        limit = SCRIPT_LIMIT.as_secs(),
        kept = SCRIPT_OUTPUT_MAX_BYTES,
    )
}

/// One word of a shell.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_one_word_whatever_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let script = Script {
            text: "echo \"$1|$2|$WHO\"; echo 'it'\"'\"'s' >&2; cat; exit 3".into(),
            arguments: vec!["a b".into(), "$(no)".into()],
            environment: vec![("WHO".into(), "o'neil `x`".into())],
        };
        let program = program(&script).replace(DIRECTORY, &dir.path().display().to_string());
        let end = ::linux::Command::new(["/bin/sh", "-s"]).input(program).output().unwrap();
        assert_eq!((end.0.as_str(), end.1.as_str()), ("a b|$(no)|o'neil `x`\n", "it's\n"));
        assert_eq!(end.2.code(), Some(3));
    }

    #[test]
    fn only_the_end_of_much_output_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let script = Script { text: "seq 1 100000".into(), ..Script::default() };
        let program = program(&script).replace(DIRECTORY, &dir.path().display().to_string());
        let (stdout, _, _) = ::linux::Command::new(["/bin/sh", "-s"]).input(program).output().unwrap();
        assert_eq!(stdout.len(), SCRIPT_OUTPUT_MAX_BYTES);
        assert!(stdout.ends_with("99999\n100000\n"));
    }
}
