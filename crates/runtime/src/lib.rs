//! Process plumbing: settings, telemetry, signals, probes, AWS connection.
