//! The pure rules of Tidemark: what a definition file means, what one image of an item contributes to
//! which rows, how time is cut into buckets, and when a level of stock is an alert.
//!
//! Nothing here does I/O, reads a clock or knows an AWS type: every decision takes what it needs as an argument,
//! so that ingest, the API, and the tests' naive oracle can be compared on equal terms.

pub mod alert;
pub mod bucket;
pub mod calendar;
pub mod contribution;
pub mod currency;
pub mod decimal;
pub mod definition;
pub mod delta;
pub mod group;
pub mod id;
pub mod image;
pub mod instant;
pub mod level;
pub mod name;
pub mod rule;
pub mod running;
pub mod tenant;
pub mod zone;

pub use alert::{Alert, AlertEvent, Standing};
pub use bucket::Bucket;
pub use currency::Currency;
pub use decimal::Decimal;
pub use definition::Definitions;
pub use group::Group;
pub use id::{AlertId, EndpointId, EventId, JobId, RuleId};
pub use image::{Attribute, Image};
pub use level::{Level, LevelKey};
pub use name::{DimensionName, InventoryName, MeasureName, MetricName, SourceName};
pub use rule::{Rule, RuleBook};
pub use running::Running;
pub use tenant::TenantId;
pub use zone::Zone;
