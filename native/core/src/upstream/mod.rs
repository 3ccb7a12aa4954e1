//! Connections to providers: names, addresses, proxies, TLS, the pool.
