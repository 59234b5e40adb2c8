//! Three kinds of work: a keyed queue, a task driver and a saga engine with a journal.
