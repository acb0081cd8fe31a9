#pragma once

#include "pgrecast/base/lsn.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <variant>

// The messages of pgoutput, protocol versions 1 and 2, field by field in the
// order of the manual's "Logical Replication Message Formats".
//
// They are views: text points into the payload that was decoded, spans into
// buffers of the Decoder. A message is valid until the Decoder's next decode(),
// and no longer than the payload. Nothing is interpreted: names and values are
// the bytes that came, in the encoding of the session.
//
// Times are microseconds since 2000-01-01 00:00 UTC. Transaction ids are of 32
// bits (base/xid.h widens them). `stream_xid` is there only inside a stream
// block, and is the id of the *sub*transaction that did it.
namespace pgrecast::pgoutput {

// A transaction that committed begins; its changes follow, up to Commit.
struct Begin {
  Lsn final_lsn;  // start of the commit record: Commit's commit_lsn
  std::int64_t commit_time_us = 0;
  std::uint32_t xid = 0;  // of the top-level transaction

  bool operator==(const Begin&) const = default;
};

struct Commit {
  Lsn commit_lsn;  // start of the commit record: what orders transactions
  Lsn end_lsn;     // its end; may equal the next transaction's commit_lsn
  std::int64_t commit_time_us = 0;

  bool operator==(const Commit&) const = default;
};

// The transaction was replicated to the server from elsewhere.
struct Origin {
  Lsn commit_lsn;  // over there
  std::string_view name;

  bool operator==(const Origin&) const = default;
};

// Precedes a Relation, for each column of a type that is not built in.
struct Type {
  std::optional<std::uint32_t> stream_xid;
  std::uint32_t oid = 0;
  std::string_view schema;  // empty: pg_catalog
  std::string_view name;

  bool operator==(const Type&) const = default;
};

enum class ReplicaIdentity : char {
  kDefault = 'd',
  kNothing = 'n',
  kFull = 'f',
  kIndex = 'i',
};

struct RelationColumn {
  // Part of the replica identity's key; under FULL every column is.
  bool in_replica_identity = false;
  std::string_view name;
  std::uint32_t type_oid = 0;
  std::int32_t type_modifier = 0;

  bool operator==(const RelationColumn&) const = default;
};

// What the tuples that follow look like. Comes before a relation's first change
// and again after anything that may have changed it, often unchanged
// (RelationCache tells). Columns that are dropped or not published are not in
// it.
struct Relation {
  std::optional<std::uint32_t> stream_xid;
  std::uint32_t oid = 0;
  std::string_view schema;  // empty: pg_catalog
  std::string_view name;
  ReplicaIdentity replica_identity = ReplicaIdentity::kDefault;
  std::span<const RelationColumn> columns;

  friend bool operator==(const Relation& a, const Relation& b) {
    return a.stream_xid == b.stream_xid && a.oid == b.oid &&
           a.schema == b.schema && a.name == b.name &&
           a.replica_identity == b.replica_identity &&
           std::ranges::equal(a.columns, b.columns);
  }
};

enum class ColumnKind : char {
  // NULL, or, in the old tuple of a key, any column outside the key.
  kNull = 'n',
  // Stored out of line and not changed: the value was not sent.
  kUnchangedToast = 'u',
  kText = 't',
  // As the type's send function has it; only where `binary` was asked for, and
  // then still mixed with text, for types that have none.
  kBinary = 'b',
};

struct TupleColumn {
  ColumnKind kind = ColumnKind::kNull;
  std::string_view value;  // empty unless text or binary

  bool operator==(const TupleColumn&) const = default;
};

// The columns stand in the order of the Relation's.
struct Tuple {
  std::span<const TupleColumn> columns;

  friend bool operator==(const Tuple& a, const Tuple& b) {
    return std::ranges::equal(a.columns, b.columns);
  }
};

struct OldTuple {
  enum class Kind : char {
    kKey = 'K',  // only the replica identity's key holds values
    kRow = 'O',  // the whole row, nothing left out: REPLICA IDENTITY FULL
  };
  Kind kind = Kind::kKey;
  Tuple tuple;

  bool operator==(const OldTuple&) const = default;
};

struct Insert {
  std::optional<std::uint32_t> stream_xid;
  std::uint32_t relation_oid = 0;
  Tuple new_tuple;

  bool operator==(const Insert&) const = default;
};

struct Update {
  std::optional<std::uint32_t> stream_xid;
  std::uint32_t relation_oid = 0;
  // A key: only where the key's bytes changed, or are stored out of line (then
  // the new tuple says kUnchangedToast for it). A row: always, under FULL.
  std::optional<OldTuple> old_tuple;
  Tuple new_tuple;

  bool operator==(const Update&) const = default;
};

struct Delete {
  std::optional<std::uint32_t> stream_xid;
  std::uint32_t relation_oid = 0;
  OldTuple old_tuple;

  bool operator==(const Delete&) const = default;
};

// Of all the published relations that one TRUNCATE emptied.
struct Truncate {
  std::optional<std::uint32_t> stream_xid;
  bool cascade = false;
  bool restart_identity = false;
  std::span<const std::uint32_t> relation_oids;

  friend bool operator==(const Truncate& a, const Truncate& b) {
    return a.stream_xid == b.stream_xid && a.cascade == b.cascade &&
           a.restart_identity == b.restart_identity &&
           std::ranges::equal(a.relation_oids, b.relation_oids);
  }
};

// What pg_logical_emit_message() wrote; only with the option `messages`. One
// that is not transactional comes between transactions.
struct LogicalMessage {
  std::optional<std::uint32_t> stream_xid;
  bool transactional = false;
  Lsn lsn;
  std::string_view prefix;
  std::string_view content;  // any bytes

  bool operator==(const LogicalMessage&) const = default;
};

// Protocol 2: a block of changes of a transaction that is still in progress. It
// may roll back, whole or in part.
struct StreamStart {
  std::uint32_t xid = 0;  // of the top-level transaction
  bool first_segment = false;

  bool operator==(const StreamStart&) const = default;
};

struct StreamStop {
  bool operator==(const StreamStop&) const = default;
};

struct StreamCommit {
  std::uint32_t xid = 0;
  Lsn commit_lsn;
  Lsn end_lsn;
  std::int64_t commit_time_us = 0;

  bool operator==(const StreamCommit&) const = default;
};

// The whole transaction was rolled back (xid == subxid), or a part of it.
//
// May come unasked for: servers of version 18 were seen to send it under
// protocol 1. Ignore it for a transaction of which nothing was streamed.
struct StreamAbort {
  struct At {  // only with streaming 'parallel'
    Lsn abort_lsn;
    std::int64_t abort_time_us = 0;

    bool operator==(const At&) const = default;
  };
  std::uint32_t xid = 0;
  std::uint32_t subxid = 0;
  std::optional<At> at;

  bool operator==(const StreamAbort&) const = default;
};

using Message =
    std::variant<Begin, Commit, Origin, Type, Relation, Insert, Update, Delete,
                 Truncate, LogicalMessage, StreamStart, StreamStop,
                 StreamCommit, StreamAbort>;

}  // namespace pgrecast::pgoutput
