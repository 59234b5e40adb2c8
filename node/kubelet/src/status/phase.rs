//! The phase, counted from the containers' states.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus};

use crate::pod::spec::{Restart, Spec, is_sidecar};

/// The phase. `over`: nothing will start again.
pub fn phase(spec: &Spec, init: &[ContainerStatus], main: &[ContainerStatus], over: bool) -> &'static str {
    let begun = main.iter().any(|status| {
        let state = status.state.as_ref();
        state.is_some_and(|state| state.running.is_some() || state.terminated.is_some())
            || status.last_state.is_some()
    });
    let (mut pending, mut failed, mut sidecars) = (0, 0, 0);
    for (container, status) in spec.init.iter().zip(init) {
        let state = status.state.clone().unwrap_or_default();
        if is_sidecar(container) {
            sidecars += usize::from(state.running.is_some());
            pending += usize::from(status.started != Some(true));
            continue;
        }
        let code = |state: &ContainerState| state.terminated.as_ref().map(|end| end.exit_code);
        match (code(&state), status.last_state.as_ref().and_then(code)) {
            (Some(0), _) => {}
            (Some(_), _) => failed += 1,
            (None, Some(last)) if state.waiting.is_some() && last != 0 => failed += 1,
            (None, _) => pending += 1,
        }
    }
    let never = spec.restart() == Restart::Never;
    if failed > 0 && (never || over) {
        return "Failed";
    }
    let (mut running, mut waiting, mut stopped, mut succeeded) = (0, 0, 0, 0);
    for status in main {
        let state = status.state.clone().unwrap_or_default();
        if state.running.is_some() {
            running += 1;
        } else if let Some(end) = &state.terminated {
            stopped += 1;
            succeeded += usize::from(end.exit_code == 0);
        } else if status.last_state.as_ref().is_some_and(|last| last.terminated.is_some()) {
            stopped += 1;
        } else {
            waiting += 1;
        }
    }
    if over {
        let all_well = stopped > 0 && waiting == 0 && stopped == succeeded;
        return if all_well { "Succeeded" } else { "Failed" };
    }
    if (pending + failed > 0 && !begun) || waiting > 0 {
        return "Pending";
    }
    if running > 0 || sidecars > 0 {
        return "Running";
    }
    match (stopped == succeeded, spec.restart()) {
        _ if stopped == 0 => "Pending",
        (_, Restart::Always) => "Running",
        (true, _) => "Succeeded",
        (false, Restart::Never) => "Failed",
        (false, Restart::OnFailure) => "Running",
    }
}
