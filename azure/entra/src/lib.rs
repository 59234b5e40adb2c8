//! Directory, Graph, OAuth2 and OpenID Connect, managed identities, federation.
