//! The front door: who, may they, api-version, route; and the framework a resource provider is written in.
