//! Every key, item and transaction of Tidemark's data table.
