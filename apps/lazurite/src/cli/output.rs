//! What the commands that stand in for az print, in its forms, and how they ask.

use std::io::{BufRead, ErrorKind, IsTerminal, Write};

use anyhow::{Context, Result, bail};
use jmespath::ast::Ast;
use serde_json::Value;

/// Flags that every such command has.
#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// Output format.
    #[arg(short = 'o', long, value_enum, ignore_case = true, global = true, default_value = "json")]
    pub(crate) output: Form,
    /// JMESPath of what to print.
    #[arg(long, global = true, value_name = "JMESPATH", value_parser = query)]
    pub(crate) query: Option<String>,
    /// Print errors only, no progress and no warnings.
    #[arg(long, global = true)]
    pub(crate) only_show_errors: bool,
    /// Id of the subscription to work in.
    #[arg(long, global = true)]
    pub(crate) subscription: Option<String>,
}

/// How to print. The forms with colours print none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    Json,
    Jsonc,
    Yaml,
    Yamlc,
    Table,
    Tsv,
    None,
}

/// A column of a table: its heading and where its text is, alternatives in order.
pub(crate) type Column = (&'static str, &'static [&'static str]);

fn query(text: &str) -> Result<String, String> {
    jmespath::compile(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

impl Common {
    /// Prints a command's result. `columns` are the table's when no query chose others; without them a table
    /// has a column for everything simple.
    pub(crate) fn print(&self, result: Value, columns: Option<&[Column]>) -> Result<()> {
        let (result, order, columns) = match &self.query {
            None => (result, None, columns),
            Some(query) => {
                let expression = jmespath::compile(query).context("the query is not JMESPath")?;
                let found = expression.search(result).context("the query failed")?;
                let found = serde_json::to_value(&*found).context("the query's result is not JSON")?;
                (found, order(expression.as_ast()), None)
            }
        };
        if result.is_null() {
            return Ok(());
        }
        let order = order.as_deref();
        let text = match self.output {
            Form::None => return Ok(()),
            Form::Json | Form::Jsonc => serde_json::to_string_pretty(&result)? + "\n",
            Form::Yaml | Form::Yamlc => serde_yaml_ng::to_string(&result).context("failed to write YAML")?,
            Form::Tsv => tsv(&result, order),
            Form::Table => table(&result, columns, order)?,
        };
        write_out(text.as_bytes())
    }
}

/// Writes to standard output; who stopped reading wants no more.
pub(crate) fn write_out(bytes: &[u8]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("failed to print"),
        _ => Ok(()),
    }
}

/// Prints one line.
pub(crate) fn say(line: impl std::fmt::Display) -> Result<()> {
    write_out(format!("{line}\n").as_bytes())
}

/// Asks before something is lost.
pub(crate) fn confirm(yes: bool, question: &str) -> Result<()> {
    if yes {
        return Ok(());
    }
    match ask(question)? {
        Some(true) => return Ok(()),
        Some(false) => {}
        None => eprintln!("WARNING: Unable to prompt for confirmation as no tty available. Use --yes."),
    }
    bail!("Operation cancelled.")
}

/// A yes or a no; `None` when nobody can be asked.
pub(crate) fn ask(question: &str) -> Result<Option<bool>> {
    if !std::io::stdin().is_terminal() {
        return Ok(None);
    }
    loop {
        eprint!("{question} (y/n): ");
        let mut line = String::new();
        if std::io::stdin().lock().read_line(&mut line).context("failed to read the answer")? == 0 {
            return Ok(None);
        }
        match line.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => return Ok(Some(true)),
            "n" | "no" => return Ok(Some(false)),
            _ => {}
        }
    }
}

/// The order in which a query names its columns: a result's keys are sorted, columns are not.
fn order(query: &Ast) -> Option<Vec<String>> {
    match query {
        Ast::MultiHash { elements, .. } => Some(elements.iter().map(|element| element.key.clone()).collect()),
        Ast::Projection { rhs, .. } | Ast::Subexpr { rhs, .. } => order(rhs),
        Ast::Condition { then, .. } => order(then),
        _ => None,
    }
}

/// An object's fields, in a query's order if it gave one.
fn fields<'a>(value: &'a Value, order: Option<&[String]>) -> Option<Vec<(&'a str, &'a Value)>> {
    let object = value.as_object()?;
    Some(match order {
        Some(order) => {
            order.iter().filter_map(|key| object.get_key_value(key)).map(|(k, v)| (k.as_str(), v)).collect()
        }
        None => object.iter().map(|(k, v)| (k.as_str(), v)).collect(),
    })
}

fn items(result: &Value) -> &[Value] {
    result.as_array().map_or(std::slice::from_ref(result), Vec::as_slice)
}

fn tsv(result: &Value, order: Option<&[String]>) -> String {
    let mut text = String::new();
    for item in items(result) {
        let row: Vec<String> = match (fields(item, order), item) {
            (Some(fields), _) => fields.into_iter().map(|(_, value)| cell(value)).collect(),
            (None, Value::Array(values)) => values.iter().map(cell).collect(),
            (None, Value::Bool(value)) => vec![value.to_string()],
            (None, value) => vec![cell(value)],
        };
        text.push_str(&row.join("\t"));
        text.push('\n');
    }
    text
}

/// One value among others: of lists only the length is said, of objects nothing.
fn cell(value: &Value) -> String {
    match value {
        Value::Array(values) => values.len().to_string(),
        Value::Object(_) => String::new(),
        simple => word(simple),
    }
}

fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        other => other.to_string(),
    }
}

fn table(result: &Value, columns: Option<&[Column]>, order: Option<&[String]>) -> Result<String> {
    let rows: Vec<Vec<(String, String)>> = items(result)
        .iter()
        .map(|item| match columns {
            Some(columns) => chosen(item, columns),
            None => everything_simple(item, order),
        })
        .collect();
    let mut headings: Vec<&str> = Vec::new();
    for (heading, _) in rows.iter().flatten() {
        if !headings.contains(&heading.as_str()) {
            headings.push(heading);
        }
    }
    if headings.is_empty() && !rows.is_empty() {
        bail!("Table output unavailable. Use the --query option to specify an appropriate query.");
    }
    let cells: Vec<Vec<&str>> = rows
        .iter()
        .map(|row| {
            let text =
                |heading: &&str| row.iter().find(|(name, _)| name == heading).map_or("", |(_, text)| text);
            headings.iter().map(text).collect()
        })
        .collect();
    Ok(drawn(&headings, &cells))
}

fn chosen(item: &Value, columns: &[Column]) -> Vec<(String, String)> {
    columns
        .iter()
        .filter_map(|(heading, paths)| {
            let value = paths.iter().filter_map(|path| item.pointer(path)).find(|value| !value.is_null())?;
            let simple = !value.is_array() && !value.is_object();
            simple.then(|| ((*heading).to_owned(), word(value)))
        })
        .collect()
}

fn everything_simple(item: &Value, order: Option<&[String]>) -> Vec<(String, String)> {
    if let Some(fields) = fields(item, order) {
        return fields
            .into_iter()
            .filter(|(name, value)| {
                !matches!(*name, "id" | "type" | "etag")
                    && !value.is_null()
                    && !value.is_array()
                    && !value.is_object()
            })
            .map(|(name, value)| (capitalized(name), word(value)))
            .collect();
    }
    match item {
        Value::Array(values) => {
            values.iter().enumerate().map(|(at, value)| (format!("Column{}", at + 1), word(value))).collect()
        }
        value => vec![("Result".to_owned(), word(value))],
    }
}

fn capitalized(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Left-aligned columns two apart, each at least two wider than its heading.
fn drawn(headings: &[&str], rows: &[Vec<&str>]) -> String {
    let widths: Vec<usize> = headings
        .iter()
        .enumerate()
        .map(|(at, heading)| {
            let widest = rows.iter().filter_map(|row| row.get(at)).map(|text| text.chars().count()).max();
            widest.unwrap_or(0).max(heading.chars().count() + 2)
        })
        .collect();
    let line = |texts: &[&str]| {
        let padded: Vec<String> =
            texts.iter().zip(&widths).map(|(text, width)| format!("{text:<width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    let mut lines = Vec::new();
    if !headings.is_empty() {
        lines.push(line(headings));
        lines.push(rules.join("  "));
    }
    lines.extend(rows.iter().map(|row| line(row)));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_is_drawn_as_az_draws_it() {
        let columns: &[Column] =
            &[("Name", &["/name"]), ("Location", &["/location"]), ("Fqdn", &["/a", "/b"])];
        let drawn =
            table(&json!([{"name": "rg-dev", "location": "eastus", "b": "x"}]), Some(columns), None).unwrap();
        assert_eq!(drawn, "Name    Location    Fqdn\n------  ----------  ------\nrg-dev  eastus      x\n");
        assert_eq!(table(&json!([]), Some(columns), None).unwrap(), "\n");
        let drawn = table(&json!({"name": "a", "id": "/x", "on": true, "tags": null}), None, None).unwrap();
        assert_eq!(drawn, "Name    On\n------  ----\na       True\n");
        assert!(table(&json!({"a": {}}), None, None).is_err());
    }

    #[test]
    fn values_by_tabs_keep_the_order_of_the_query() {
        let expression = jmespath::compile("[].{b: name, a: count, c: list, d: no}").unwrap();
        let found = expression.search(json!([{"name": "x", "count": 3, "list": [1, 2]}])).unwrap();
        let found = serde_json::to_value(&*found).unwrap();
        assert_eq!(tsv(&found, order(expression.as_ast()).as_deref()), "x\t3\t2\tNone\n");
        assert_eq!(tsv(&json!(true), None), "true\n");
        assert_eq!(tsv(&json!(["a", "b"]), None), "a\nb\n");
    }
}
