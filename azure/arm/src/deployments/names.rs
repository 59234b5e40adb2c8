//! What `dependsOn` may call the resources of a template, looked up by name.
//!
//! A template may hold hundreds of resources that each name hundreds: every name is looked up once, none is held against every
//! resource.

use std::collections::{BTreeSet, HashMap};

use super::plan::Item;
use crate::ResourceId;

/// No id that anybody deploys has more words; the ends of longer ones are not names.
const ENDS_MAX: usize = 64;

/// Resources by what they may be called.
pub(super) struct Names {
    /// Symbolic names, as written.
    symbols: HashMap<String, Vec<usize>>,
    /// Ids, ends of ids, names with and without their types, and loops: in lower case.
    folded: HashMap<String, Vec<usize>>,
}

impl Names {
    pub(super) fn of(items: &[Item]) -> Self {
        let (mut symbols, mut folded): (HashMap<String, Vec<usize>>, HashMap<String, Vec<usize>>) =
            (HashMap::new(), HashMap::new());
        for (at, item) in items.iter().enumerate() {
            if let Some(symbol) = &item.symbol {
                symbols.entry(symbol.clone()).or_default().push(at);
            }
            let (id, key) = (&item.id, item.id.key());
            let full = id.full_name().to_ascii_lowercase();
            let ends = key.rmatch_indices('/').take(ENDS_MAX).filter_map(|(slash, _)| key.get(slash + 1..));
            let mut called: BTreeSet<String> = ends.map(str::to_owned).collect();
            called.insert(format!("{}/{full}", id.resource_type().to_ascii_lowercase()));
            called.insert(full);
            called.insert(key.to_owned());
            called.extend(item.copy.as_deref().map(str::to_ascii_lowercase));
            for name in called {
                folded.entry(name).or_default().push(at);
            }
        }
        Self { symbols, folded }
    }

    /// The places of the resources that a `dependsOn` entry means.
    pub(super) fn called(&self, name: &str) -> BTreeSet<usize> {
        let one_of_loop =
            name.strip_suffix(']').and_then(|inner| inner.split_once('[')).map(|(symbol, _)| symbol);
        let symbols =
            [Some(name), one_of_loop].into_iter().flatten().filter_map(|symbol| self.symbols.get(symbol));
        let id =
            Some(name).filter(|name| name.starts_with('/')).and_then(|name| ResourceId::parse(name).ok());
        let folded = [Some(name.to_ascii_lowercase()), id.map(|id| id.key().to_owned())];
        let folded = folded.into_iter().flatten().filter_map(|name| self.folded.get(&name));
        symbols.chain(folded).flatten().copied().collect()
    }
}
