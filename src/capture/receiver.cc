#include "pgrecast/capture/receiver.h"

#include "pgrecast/base/deadline.h"
#include "pgrecast/base/error.h"
#include "pgrecast/base/log.h"
#include "pgrecast/base/sync_point.h"
#include "pgrecast/pg/errors.h"
#include "pgrecast/pgoutput/decoder.h"
#include "pgrecast/pgoutput/key_extractor.h"
#include "pgrecast/pgoutput/relation_cache.h"
#include "pgrecast/pgoutput/transport.h"

#include <chrono>
#include <exception>
#include <unordered_map>
#include <utility>

namespace pgrecast::capture {
namespace {

// How long WAL waits to be confirmed, and so the most that is sent again after
// a crash. Each costs one fsync.
constexpr auto kConfirmEvery = milliseconds(1000);
// The clock is looked at every so many messages.
constexpr int kMessagesPerLook = 1024;

// PostgreSQL's epoch, 2000-01-01, in seconds of the Unix clock.
constexpr std::chrono::seconds kPostgresEpoch{946684800};

std::int64_t now_us() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::microseconds>(since -
                                                               kPostgresEpoch)
      .count();
}

}  // namespace

class Receiver::Impl {
 public:
  Impl(pg::ReplicationStream stream, std::vector<CapturedTable> tables,
       ChangeBuffer& buffer, XidReference& xids, Fences& fences,
       ReceiverStatus& status)
      : stream_(std::move(stream)),
        buffer_(&buffer),
        xids_(&xids),
        fences_(&fences),
        status_(&status) {
    for (CapturedTable& table : tables) {
      const auto oid = table.oid;
      tables_.emplace(oid, Table{.captured = std::move(table), .keys = {}});
    }
  }

  Fences& fences() { return *fences_; }

  void run_and_explain(const std::stop_token& stop) {
    try {
      run(stop);
    } catch (const pg::SqlError& error) {
      // Decoding looks the publication up at every change of the catalogs. Its
      // end may not be visible to other sessions yet.
      if (error.sqlstate() != pg::sqlstate::kUndefinedObject) throw;
      throw SourceChanged(
          std::string("our publication was dropped by somebody: ") +
              error.what(),
          "changes are lost from there: run the same command with --repair, or "
          "`pgrecast abort` and begin anew");
    }
  }

 private:
  void run(const std::stop_token& stop) {
    try {
      while (!stop.stop_requested()) {
        drain(stop);
        if (Clock::now() >= confirm_at_) confirm();
        stream_.wait(Deadline::in(kConfirmEvery));
      }
    } catch (const Stopped&) {
      // The ordinary end; what was received is confirmed below.
    }
    confirm();
  }

  struct Table {
    CapturedTable captured;
    std::optional<pgoutput::KeyExtractor> keys;
  };

  // The transaction whose messages are coming.
  struct Open {
    Lsn commit_lsn;
    Xid64 xid;
    bool known = false;  // the buffer has it already: sent again
    std::vector<std::string> fences;
  };

  void drain(const std::stop_token& stop) {
    int left = kMessagesPerLook;
    while (const auto payload = stream_.try_receive()) {
      handle(pgoutput::decode_copy_data(payload->bytes()));
      if (--left > 0) continue;
      left = kMessagesPerLook;
      if (stop.stop_requested()) return;
      if (Clock::now() >= confirm_at_) confirm();
    }
  }

  void handle(const pgoutput::CopyData& data) {
    if (const auto* keepalive = std::get_if<pgoutput::Keepalive>(&data)) {
      // In the middle of a transaction it may lie behind its commit already.
      if (!open_) buffer_->advance(keepalive->wal_end);
      received(keepalive->wal_end);
      if (keepalive->reply_requested) confirm();
      return;
    }
    const auto& wal = std::get<pgoutput::XLogData>(data);
    const pgoutput::Message message = decoder_.decode(wal.payload);
    std::visit([this](const auto& body) { apply(body); }, message);
  }

  void received(Lsn lsn) {
    if (lsn.value > status_->received_lsn) status_->received_lsn = lsn.value;
  }

  void apply(const pgoutput::Begin& begin) {
    open_ = Open{.commit_lsn = begin.final_lsn,
                 .xid = widen_xid(begin.xid, xids_->now()),
                 .known = begin.final_lsn <= buffer_->last_commit_lsn(),
                 .fences = {}};
  }

  void apply(const pgoutput::Commit& commit) {
    Open& open = transaction();
    if (!open.known) buffer_->commit(commit.commit_lsn, commit.end_lsn);
    for (const std::string& fence : open.fences) fences_->seen(fence);
    received(commit.end_lsn);
    open_.reset();
  }

  void apply(const pgoutput::Relation& relation) {
    const auto found = tables_.find(relation.oid);
    const auto put = relations_.put(relation);
    if (found == tables_.end() || put == pgoutput::RelationCache::Put::kSame) {
      return;
    }
    Table& table = found->second;
    table.keys.emplace(relations_.find(relation.oid),
                       table.captured.key_columns);
  }

  void apply(const pgoutput::Insert& insert) {
    note(insert.relation_oid,
         [&](pgoutput::KeyExtractor& keys) { return keys.keys_of(insert); });
  }

  void apply(const pgoutput::Update& update) {
    note(update.relation_oid,
         [&](pgoutput::KeyExtractor& keys) { return keys.keys_of(update); });
  }

  void apply(const pgoutput::Delete& deletion) {
    note(deletion.relation_oid,
         [&](pgoutput::KeyExtractor& keys) { return keys.keys_of(deletion); });
  }

  template <typename KeysOf>
  void note(std::uint32_t relation_oid, const KeysOf& keys_of) {
    const Open& open = transaction();
    if (open.known) return;
    const auto found = tables_.find(relation_oid);
    if (found == tables_.end()) return;
    Table& table = found->second;
    if (!table.keys) {
      throw ProtocolError("a change came before its relation was described");
    }
    const pgoutput::DirtyKeys dirty = keys_of(*table.keys);
    const std::size_t count = rule_on("old_key") ? dirty.size() : 1;
    for (std::size_t i = 0; i < count; ++i) {
      table.captured.codec->encode(dirty.begin()[i], encoded_);
      buffer_->note_key(table.captured.id, encoded_, open.xid);
    }
    status_->changes.fetch_add(1, std::memory_order_relaxed);
  }

  void apply(const pgoutput::Truncate& truncate) {
    const Open& open = transaction();
    if (open.known) return;
    for (const std::uint32_t oid : truncate.relation_oids) {
      const auto found = tables_.find(oid);
      if (found == tables_.end()) continue;
      buffer_->note_truncate(found->second.captured.id, open.xid);
      status_->truncates.fetch_add(1, std::memory_order_relaxed);
      log::warn("capture", "source truncated by somebody", "oid={}", oid);
    }
  }

  void apply(const pgoutput::LogicalMessage& message) {
    if (!message.transactional || message.prefix != fences_->prefix()) return;
    transaction().fences.emplace_back(message.content);
  }

  // Names and types come with the relation; an origin does not matter to us.
  void apply(const pgoutput::Origin& /*origin*/) {}
  void apply(const pgoutput::Type& /*type*/) {}
  // PostgreSQL 18 was seen to send it unasked; nothing was streamed to us.
  void apply(const pgoutput::StreamAbort& /*abort*/) {}
  void apply(const pgoutput::StreamStart& /*start*/) { not_asked_for(); }
  void apply(const pgoutput::StreamStop& /*stop*/) { not_asked_for(); }
  void apply(const pgoutput::StreamCommit& /*commit*/) { not_asked_for(); }

  [[noreturn]] static void not_asked_for() {
    throw ProtocolError(
        "the server streams a transaction in progress, which "
        "was not asked for");
  }

  Open& transaction() {
    if (!open_) {
      throw ProtocolError("a change came outside of a transaction");
    }
    return *open_;
  }

  void confirm() {
    const Lsn durable = buffer_->sync();
    const Lsn written{std::max(status_->received_lsn.load(), durable.value)};
    stream_.send(pgoutput::encode_status_update({.written = written,
                                                 .flushed = durable,
                                                 .applied = durable,
                                                 .client_time_us = now_us(),
                                                 .reply_requested = false}));
    status_->confirmed_lsn = durable.value;
    confirm_at_ = Clock::now() + kConfirmEvery;
  }

  pg::ReplicationStream stream_;
  ChangeBuffer* buffer_;
  XidReference* xids_;
  Fences* fences_;
  ReceiverStatus* status_;
  pgoutput::Decoder decoder_;
  pgoutput::RelationCache relations_;
  std::unordered_map<std::uint32_t, Table> tables_;
  std::optional<Open> open_;
  std::string encoded_;
  Clock::time_point confirm_at_ = Clock::now();
};

Receiver::Receiver(pg::ReplicationStream stream,
                   std::vector<CapturedTable> tables, ChangeBuffer& buffer,
                   XidReference& xids, Fences& fences, ReceiverStatus& status)
    : impl_(std::make_unique<Impl>(std::move(stream), std::move(tables), buffer,
                                   xids, fences, status)) {}

Receiver::~Receiver() = default;

void Receiver::run(const std::stop_token& stop) {
  try {
    impl_->run_and_explain(stop);
  } catch (...) {
    impl_->fences().failed(std::current_exception());
    throw;
  }
  impl_->fences().failed(std::make_exception_ptr(Stopped()));
}

}  // namespace pgrecast::capture
