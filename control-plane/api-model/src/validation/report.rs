//! Collects causes.

use super::place::Place;
use super::same::same;
use crate::cause::Cause;
use serde_json::Value;

/// Text of every change of a fixed field.
pub(super) const IMMUTABLE: &str = "field is immutable";
/// Text of a number below zero.
pub(super) const NEGATIVE: &str = "must be greater than or equal to 0";
/// Text of a number that must be above zero.
pub(super) const NOT_POSITIVE: &str = "must be greater than zero";

/// The causes found so far, each once.
#[derive(Default)]
pub(super) struct Report {
    pub causes: Vec<Cause>,
}

impl Report {
    pub fn push(&mut self, cause: Cause) {
        if !self.causes.contains(&cause) {
            self.causes.push(cause);
        }
    }

    pub fn required(&mut self, at: &Place, detail: &str) {
        self.push(Cause::required(&at.path(), detail));
    }

    pub fn forbidden(&mut self, at: &Place, detail: &str) {
        self.push(Cause::forbidden(&at.path(), detail));
    }

    /// The value that stands there is wrong.
    pub fn invalid(&mut self, at: &Place, detail: &str) {
        self.push(Cause::invalid(&at.path(), at.value(), detail));
    }

    /// The number there is wrong; an absent one is zero.
    pub fn invalid_number(&mut self, at: &Place, detail: &str) {
        self.push(Cause::invalid(&at.path(), &at.as_number().unwrap_or(0).into(), detail));
    }

    /// The text there is wrong; an absent one is empty.
    pub fn invalid_text(&mut self, at: &Place, detail: &str) {
        self.push(Cause::invalid_str(&at.path(), at.as_text(), detail));
    }

    /// Something there is wrong that is shown as `shown`.
    pub fn invalid_as(&mut self, at: &Place, shown: impl Into<Value>, detail: &str) {
        self.push(Cause::invalid(&at.path(), &shown.into(), detail));
    }

    /// The list or map there is wrong; an absent one is Go's `null`.
    pub fn invalid_collection(&mut self, at: &Place, detail: &str) {
        self.invalid_shown(at, &at.value().to_string(), detail);
    }

    /// Something there is wrong that is not shown.
    pub fn invalid_unshown(&mut self, at: &Place, detail: &str) {
        self.push(Cause::invalid_unshown(&at.path(), detail));
    }

    pub fn unsupported(&mut self, at: &Place, supported: &[&str]) {
        let empty = Value::String(String::new());
        let value = if at.is_set() { at.value() } else { &empty };
        self.push(Cause::unsupported(&at.path(), value, supported));
    }

    pub fn unsupported_as(&mut self, at: &Place, shown: impl Into<Value>, supported: &[&str]) {
        self.push(Cause::unsupported(&at.path(), &shown.into(), supported));
    }

    /// Something there is wrong that upstream shows in the names of its own types ([`internal`]).
    pub fn invalid_shown(&mut self, at: &Place, shown: &str, detail: &str) {
        let mut cause = Cause::invalid_unshown(&at.path(), detail);
        cause.message = cause.message.replacen("Invalid value", &format!("Invalid value: {shown}"), 1);
        self.push(cause);
    }

    /// Something there is not supported, shown as by [`internal`].
    pub fn unsupported_shown(&mut self, at: &Place, shown: &str, supported: &[&str]) {
        let mut cause = Cause::unsupported(&at.path(), &Value::Null, supported);
        cause.message = cause.message.replacen("\"null\"", shown, 1);
        self.push(cause);
    }

    /// Something there stands twice, shown as by [`internal`].
    pub fn duplicate_shown(&mut self, at: &Place, shown: &str, detail: &str) {
        let mut cause = Cause::duplicate(&at.path(), &Value::Null);
        cause.message = cause.message.replacen("\"null\"", shown, 1);
        if !detail.is_empty() {
            cause.message = format!("{}: {detail}", cause.message);
        }
        self.push(cause);
    }

    pub fn duplicate(&mut self, at: &Place) {
        self.push(Cause::duplicate(&at.path(), at.value()));
    }

    pub fn duplicate_as(&mut self, at: &Place, shown: impl Into<Value>) {
        self.push(Cause::duplicate(&at.path(), &shown.into()));
    }

    pub fn not_found(&mut self, at: &Place, detail: &str) {
        let mut cause = Cause::not_found(&at.path(), &at.as_text().into());
        if !detail.is_empty() {
            cause.message = format!("{}: {detail}", cause.message);
        }
        self.push(cause);
    }

    pub fn too_long(&mut self, at: &Place, max: usize) {
        self.push(Cause::too_long(&at.path(), max));
    }

    pub fn too_many(&mut self, at: &Place, max: usize) {
        self.push(Cause::too_many(&at.path(), at.len(), max));
    }

    /// Each problem of the text there.
    pub fn problems(&mut self, at: &Place, problems: Vec<String>) {
        for problem in problems {
            self.invalid_text(at, &problem);
        }
    }

    /// Each problem of a text, reported there.
    pub fn problems_of(&mut self, at: &Place, text: &str, problems: Vec<String>) {
        for problem in problems {
            self.push(Cause::invalid_str(&at.path(), text, &problem));
        }
    }

    /// A text that must be there and free of problems.
    pub fn named(&mut self, at: &Place, rule: fn(&str) -> Vec<String>) {
        if at.is_empty() {
            self.required(at, "");
        } else {
            self.problems(at, rule(at.as_text()));
        }
    }

    /// A text that must be there.
    pub fn present(&mut self, at: &Place) {
        if at.is_empty() {
            self.required(at, "");
        }
    }

    /// A text that must be one of `supported`; an empty one is missing.
    pub fn one_of(&mut self, at: &Place, supported: &[&str]) {
        match at.as_text() {
            "" => self.required(at, ""),
            text if supported.contains(&text) => {}
            _ => self.unsupported(at, supported),
        }
    }

    /// A text that must be one of `supported` when it is there.
    pub fn optional_of(&mut self, at: &Place, supported: &[&str]) {
        if at.is_set() && !supported.contains(&at.as_text()) {
            self.unsupported(at, supported);
        }
    }

    /// A number of at least zero, when there is one.
    pub fn not_negative(&mut self, at: &Place) {
        if at.as_number().is_some_and(|number| number < 0) {
            self.invalid(at, NEGATIVE);
        }
    }

    /// A number between two others, when there is one.
    pub fn in_range(&mut self, at: &Place, low: i64, high: i64) {
        if at.as_number().is_some_and(|number| !(low..=high).contains(&number)) {
            self.invalid(at, &format!("must be between {low} and {high}, inclusive"));
        }
    }

    /// The number of a port; an absent one is zero, and wrong.
    pub fn port_number(&mut self, at: &Place) {
        if !(1..=65535).contains(&at.as_number().unwrap_or(0)) {
            self.invalid_number(at, "must be between 1 and 65535, inclusive");
        }
    }

    /// Refuses a changed field.
    pub fn immutable(&mut self, new: &Place, old: &Place) {
        if !same(new.value(), old.value()) {
            self.invalid(new, IMMUTABLE);
        }
    }
}

/// A struct as upstream shows its own types: all fields, in their order.
pub(super) fn internal(fields: &[(&str, Value)]) -> String {
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name:?}:{value}")).collect();
    format!("{{{}}}", fields.join(","))
}
