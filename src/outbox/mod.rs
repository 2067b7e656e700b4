//! Events owed to dispatch: order, retry, signature, dead letters.
