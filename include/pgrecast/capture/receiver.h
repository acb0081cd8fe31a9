#pragma once

#include "pgrecast/base/lsn.h"
#include "pgrecast/buffer/change_buffer.h"
#include "pgrecast/buffer/key_codec.h"
#include "pgrecast/capture/fences.h"
#include "pgrecast/capture/xid_reference.h"
#include "pgrecast/pg/replication_stream.h"

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace pgrecast::capture {

struct CapturedTable {
  std::uint32_t oid = 0;
  TableId id = 0;
  std::vector<std::string> key_columns;
  const KeyCodec* codec = nullptr;  // outlives the receiver
};

// What others may read of a running receiver, at any time.
struct ReceiverStatus {
  std::atomic<std::uint64_t> received_lsn{0};
  std::atomic<std::uint64_t> confirmed_lsn{0};
  std::atomic<std::uint64_t> changes{0};
  std::atomic<std::uint64_t> truncates{0};
};

// Reads the stream and notes in the change buffer which keys changed, by which
// transaction. Confirms to the server what the buffer holds durably, once a
// second, and at once when the server asks.
//
// run() is the body of one thread, which then owns the stream.
class Receiver {
 public:
  Receiver(pg::ReplicationStream stream, std::vector<CapturedTable> tables,
           ChangeBuffer& buffer, XidReference& xids, Fences& fences,
           ReceiverStatus& status);
  Receiver(const Receiver&) = delete;
  Receiver& operator=(const Receiver&) = delete;
  ~Receiver();

  // Until stop is requested; then everything received is made durable and
  // confirmed. Whatever ends it is told to the fences too.
  //
  // Throws ConnectionError, pg::SqlError, ProtocolError, StorageError,
  // SourceChanged (the key's columns are not in the stream any more).
  void run(const std::stop_token& stop);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pgrecast::capture
