//! Real processes under the supervisor. One test, because whoever waits for all children of a process must be alone in
//! it.

use std::ffi::OsString;
use std::process::Command;
use std::sync::{Arc, Mutex};

use coffre_agent::supervise::children::{Child, Children};
use coffre_agent::supervise::machine::Status;
use coffre_agent::supervise::{Policy, Signals, Spec, Supervisor};
use coffre_ambient::SystemClock;
use coffre_source::inject::Injected;

fn ended(children: &Children, mut child: Child) -> Status {
    loop {
        children.reap();
        if let Ok(status) = child.end.try_recv() {
            return status;
        }
        std::thread::yield_now();
    }
}

fn shell(name: &str, script: &str) -> Spec {
    let args = ["-c", script].map(OsString::from).to_vec();
    let (program, policy) = ("/bin/sh".into(), Policy::default());
    Spec { name: name.to_owned(), program, args, policy, whole_group: false, redact: false, hook: None }
}

fn nothing() -> Option<Injected> {
    Injected::build([("PATH".into(), "/usr/bin:/bin".into())], [], "vault", &[]).ok()
}

#[test]
fn ends_are_told_and_two_programs_end_together() {
    let children = Children::default();
    for (script, status) in
        [("exit 0", Status::Exited(0)), ("exit 255", Status::Exited(255)), ("kill -9 $$", Status::Killed(9))]
    {
        let child = children.spawn(Command::new("/bin/sh").args(["-c", script])).unwrap();
        assert_eq!(ended(&children, child), status, "{script}");
    }
    assert!(children.spawn(&mut Command::new("/nonexistent")).is_err());

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let said = Arc::new(Mutex::new(Vec::<String>::new()));
    let (code, health) = runtime.block_on(async {
        let said = said.clone();
        let say = Box::new(move |line: &str| said.lock().unwrap().push(line.to_owned()));
        // The first ends by itself; the second leaves somebody behind, and must be asked.
        let specs = vec![shell("job", "sleep 0.3; exit 42"), shell("web", "sleep 100 & exec sleep 100")];
        let (supervisor, control, _slots) =
            Supervisor::new(specs, Signals::Stop, Arc::new(SystemClock), say).unwrap();
        control.values(0, nothing().unwrap(), 1).await;
        control.values(1, nothing().unwrap(), 1).await;
        (supervisor.run().await, control.health())
    });
    assert_eq!(code, 42);
    assert!(health.iter().all(|health| health.state == "ended" && health.starts == 1), "{health:?}");
    assert_eq!(*said.lock().unwrap(), Vec::<String>::new());
}
