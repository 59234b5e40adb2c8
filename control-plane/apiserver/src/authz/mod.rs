//! May they: RBAC, the node authoriser, and the review APIs.
