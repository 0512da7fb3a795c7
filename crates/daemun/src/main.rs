//! The program without an interpreter: it reads and checks settings, and says what it lacks.

use std::os::fd::RawFd;

use daemun::host::{AppOptions, AppSpec, Host, LoadError, SettingValue};
use daemun::settings::Settings;
use http::app::App;

struct NoInterpreter;

const MISSING: &str = "this program was built without Python: install the `daemun` wheel";

fn missing<T>() -> Result<T, LoadError> {
    Err(LoadError { code: 1, message: MISSING.to_owned() })
}

impl Host for NoInterpreter {
    fn prepare(&self) -> Result<(), String> {
        Ok(())
    }

    fn before_fork(&self) {}

    fn after_fork_parent(&self) {}

    fn after_fork_child(&self) {}

    fn read_config(&self, _: &str) -> Result<Vec<(String, SettingValue)>, String> {
        Err(MISSING.to_owned())
    }

    fn preload(&self, _: &Settings) -> Result<(), LoadError> {
        missing()
    }

    fn load(&self, _: &AppSpec, _: &Settings, _: &AppOptions) -> Result<App, LoadError> {
        missing()
    }

    fn explain(&self, _: &LoadError, _: &AppOptions) -> Result<App, LoadError> {
        missing()
    }

    fn worker_started(&self, _: RawFd) {}

    fn as_thread(&self, body: &mut dyn FnMut()) {
        body();
    }

    fn watch(&self, _: &Settings, _: bool, _: Box<dyn Fn(&str) + Send + Sync>) {}

    fn worker_ending(&self) {}
}

fn main() {
    std::process::exit(daemun::run(std::env::args_os().collect(), &NoInterpreter));
}
