//! Listeners, workers and the connection task.
