#pragma once

#include "pgrecast/buffer/change_buffer.h"
#include "pgrecast/buffer/forget_gate.h"
#include "pgrecast/buffer/key_codec.h"
#include "pgrecast/capture/fences.h"
#include "pgrecast/capture/receiver.h"
#include "pgrecast/capture/xid_reference.h"
#include "pgrecast/catalog/source_guard.h"
#include "pgrecast/pg/connection.h"
#include "pgrecast/plan/migrated_table.h"
#include "pgrecast/plan/plan.h"
#include "pgrecast/refresh/round.h"
#include "pgrecast/verify/verifier.h"

#include "scenarios/rules/story.h"
#include "support/test_database.h"

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace pgrecast::test {

// A migration that a test steps by hand: the real plan, shadow, slot, receiver
// (on a thread of its own), change buffer, rounds and passes, without the
// phases between them. What the classes do is what they do in pgrecast.
//
// The constructor ends where decoding has begun; then copy(), settle(),
// index(), or what the test likes. The destructor leaves the sources alone and
// removes everything else. Use from one thread, but for what says otherwise.
class Rig {
 public:
  static constexpr std::size_t kKeysPerBatch = 20000;

  // `script` names sources that exist.
  Rig(Database& database, const std::string& script);
  Rig(const Rig&) = delete;
  Rig& operator=(const Rig&) = delete;
  ~Rig();

  // Blocks [first, end) of a source, in one transaction.
  void copy_blocks(std::size_t table, std::int64_t first, std::int64_t end);
  void copy();  // all of all
  refresh::RoundResult settle(std::size_t keys_per_batch = kKeysPerBatch);
  void index();  // every index and constraint
  // All three: the state in which rounds begin.
  void build() {
    copy();
    settle();
    index();
  }

  refresh::RoundResult exact() { return rounds(kKeysPerBatch).exact(data()); }
  refresh::RoundResult loose(std::size_t keys_per_batch, bool deletes_first) {
    return rounds(keys_per_batch).loose(data(), deletes_first);
  }
  // As the exchange does it, but for the exchange: locks the sources, refreshes
  // what is dirty, and lets go of them again. Throws TimedOut.
  void drain(Deadline deadline);
  // The session on which rounds run, with the script's settings.
  pg::Connection& data() { return *data_; }

  // Called when a round is about to send a fence: before it takes anything,
  // and where it is exact once more, when data() is in the round's transaction
  // and has its snapshot.
  std::function<void()> on_fence;

  // A fence on a session of the caller's. Any thread.
  void pass_fence(pg::Connection& session, Deadline deadline);
  pg::Connection open(std::string_view role);
  verify::Pass pass(std::size_t table);

  // Whether a key, as the server prints its columns, is dirty. Any thread.
  bool is_dirty(std::size_t table, const std::vector<std::string>& key) const;
  // As verification does it.
  void mark_dirty(std::size_t table, const std::vector<std::string>& key);
  ForgetGate& gate() { return gate_; }

  const plan::MigratedTable& table(std::size_t index) const {
    return tables_.at(index);
  }
  std::string shadow(std::size_t table = 0) const {
    return tables_.at(table).target.shadow.quoted();
  }
  const std::string& slot() const { return plan_.names.slot; }
  // The server's process that decodes for us.
  pid_t wal_sender() const;

 private:
  std::string encoded(std::size_t table,
                      const std::vector<std::string>& key) const;
  void make_shadows(const std::string& text);
  void load_tables();
  void start_receiver();
  refresh::Rounds rounds(std::size_t keys_per_batch);

  Database& database_;
  std::string folder_;  // of the change buffer
  std::stop_source stop_;
  pg::Endpoint endpoint_;
  plan::Plan plan_;
  std::vector<plan::MigratedTable> tables_;
  std::deque<KeyCodec> codecs_;  // stay in place
  std::optional<catalog::SourceGuard> guard_;
  std::optional<pg::Connection> control_;
  std::optional<pg::Connection> data_;
  std::optional<pg::Connection> fence_;
  std::optional<ChangeBuffer> buffer_;
  ForgetGate gate_;
  std::unique_ptr<capture::XidReference> xids_;
  std::unique_ptr<capture::Fences> fences_;
  capture::ReceiverStatus status_;
  std::optional<capture::Receiver> receiver_;
  std::jthread thread_;
};

}  // namespace pgrecast::test
