#pragma once

#include "pgrecast/buffer/change_buffer.h"
#include "pgrecast/buffer/forget_gate.h"
#include "pgrecast/buffer/key_codec.h"
#include "pgrecast/capture/fences.h"
#include "pgrecast/capture/receiver.h"
#include "pgrecast/capture/xid_reference.h"
#include "pgrecast/catalog/source_guard.h"
#include "pgrecast/migration/options.h"
#include "pgrecast/migration/progress.h"
#include "pgrecast/migration/state.h"
#include "pgrecast/plan/migrated_table.h"
#include "pgrecast/plan/twins.h"
#include "pgrecast/refresh/round.h"

#include <atomic>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace pgrecast::migration {

// What the keeper compares a source with.
struct WatchedTable {
  catalog::Oid oid = 0;
  std::string display;
  catalog::Fingerprint fingerprint;
};

// What the phases of one migration share. Owned by the Runner; changed by its
// thread only, and only while no other thread runs but the receiver's and the
// keeper's, which use nothing of it that changes.
struct Context {
  RunOptions options;
  Progress* progress = nullptr;
  std::stop_token stop;  // any thread failed, or the operator stops us
  plan::Names names;
  pg::Endpoint endpoint;
  MigrationRecord record;
  std::uint64_t epoch = 0;

  std::vector<plan::MigratedTable> tables;
  std::vector<std::int64_t> blocks;  // of each source at X0
  std::deque<KeyCodec> codecs;       // one a table; stay in place
  std::optional<catalog::SourceGuard> guard;

  std::optional<ChangeBuffer> buffer;
  ForgetGate gate;
  std::unique_ptr<capture::XidReference> xids;
  std::unique_ptr<capture::Fences> fences;
  capture::ReceiverStatus receiver_status;
  // From `in_stream` on it stays as it is, for the keeper: the Runner's thread
  // may take a new relfilenode over meanwhile.
  std::vector<WatchedTable> watched;
  std::atomic<bool> in_stream{false};

  // As this process has made and filled them; none before the cutover.
  std::vector<plan::Twin> twins;

  std::optional<pg::Connection> control;  // the Runner's thread
  std::optional<pg::Connection> fence;    // the Runner's thread
  std::optional<pg::Connection> refresh;  // the Runner's thread

  // A session for our own statements, or for the script's expressions.
  pg::Connection open(std::string_view role, const std::stop_token& stop) const;
  pg::Connection open_data(std::string_view role,
                           const std::stop_token& stop) const;

  // The session that rounds run on, made at its first use.
  pg::Connection& refresh_session();

  // Returns when the stream has delivered all that committed before. On the
  // Runner's thread.
  void pass_fence(Deadline deadline, const std::function<bool()>& wanted = {});

  // The guard for the tables' present fingerprints.
  void make_guard();

  refresh::Rounds make_rounds();

  // Between the batches of a loose round, and where changes were missed, rows
  // are absent from the shadows that the sources have: no snapshot from before
  // the next exact round may ever look at the new tables. Durable (exact_xid)
  // before the first such batch is.
  void note_incomplete();
  // After an exact round.
  void note_complete();

  // What `status` and the bar say that the migration waits for; "": nothing.
  void show_waiting(const std::string& what) const;

  // Goes on to the next phase, durably, if we own the migration.
  void enter(Phase phase);
  // In the same way, anything else.
  void write(const std::function<void(pg::Connection&)>& change);
  void event(const std::string& event, const std::string& detail);
};

// Of the database that the session is connected to.
catalog::Oid database_oid(pg::Connection& connection);

// prepare.cc
// Makes shadows and publication, and loads the tables; starts nothing. Throws
// SourceChanged where a source is not what was planned any more.
void prepare(Context& context, const script::Script& script,
             const plan::Plan& plan);
// Reads the tables' rows back, and their present shape.
void load_tables(Context& context);
// Connects the stream to slot and buffer, which exist. Throws ChangesLost.
pg::ReplicationStream open_stream(Context& context);
// Publishes the sources anew, for a slot that is made anew. Throws
// SourceChanged where their shape is another than it was.
void publish_again(Context& context);
// A new slot and an empty buffer, after which nothing is lost any more.
void make_slot(Context& context);
// Which server the slot and X0 are of. Last: without it a slot is not resumed,
// since transactions from before it may not have been waited for.
void record_identity(Context& context);
// X0: until every transaction is over that was running when the slot was made;
// then the sources' sizes. Throws SourceChanged where a source's shape is not
// that of the shadow any more.
void find_start(Context& context);

// What became of the sources while nobody looked, and their new fingerprints
// taken over. Throws SourceChanged where a shape differs. Whatever was
// accepted, a verification is owed.
struct Accepted {
  std::vector<std::size_t> rewritten;  // tables that lie in new files
  bool labels = false;                 // of enum types in a key were changed

  bool any() const { return labels || !rewritten.empty(); }
};
Accepted accept_changes(Context& context);

// copying.cc
void copy_tables(Context& context);

// indexing.cc
void build_indexes(Context& context);

// catching_up.cc
// Rounds until one is short. `exact_last`: and one exact round at the end.
// Whether all of them were exact: between the transactions of a loose one a
// snapshot sees the new table without rows that it should have.
bool catch_up(Context& context, bool exact_last);
// Whether the stream was without changes of the sources at some time, and
// verification has not found all of them yet.
bool changes_missed(Context& context);
// What differed and was not dirty; the first of it as lines.
struct PassResult {
  std::uint64_t differences = 0;
  std::vector<std::string> shown;
};
// A pass over all tables, beside rounds.
PassResult verify_tables(Context& context);

// references.cc
// Whether the rows of the new tables find what the foreign keys refer to that
// the script adds; as of an exact round at the beginning. What comes later the
// validation after the exchange finds. Throws copy::DataRejected, which names
// rows that do not, and exchange::ExchangeRefused where what they refer to is
// gone.
void look_for_references(Context& context);

// cutting_over.cc
void cut_over(Context& context);

// twins.cc
// Sees to it that the materialized views have twins, of which none shows older
// rows than its original does now. Where there is nothing to do, it takes a
// query or two.
void make_twins_ready(Context& context);

// lock_holder.cc
// When no thread of ours runs any more: makes the control session fit for
// dropping what belongs to the migration by its name. It holds the migration's
// lock, or, if it broke, a new one takes it: so nobody can have begun another
// migration of this name. Returns the record as it is now; nullopt where ours
// is not there any more. Waits end when `stop` is requested. Throws
// OwnershipLost where another process holds the lock.
std::optional<MigrationRecord> recover_control(Context& context,
                                               const std::stop_token& stop);

// keeper.cc
std::vector<WatchedTable> watched_tables(const Context& context);
// After a source was changed, when no thread of ours runs any more: while a
// column list is published, another replica identity makes the application's
// own UPDATEs fail. Then the publication goes; true if it did.
bool protect_writers(const Context& context, pg::Connection& connection);
// Once a second, on a session of its own: the heartbeat, commands, and a look
// at what must not change. Both functions are called on the keeper's thread;
// `on_cause` with what it is going to throw, before it does what makes other
// threads fail.
struct KeeperCalls {
  std::function<void(const Command&)> on_command;
  std::function<void(std::exception_ptr)> on_cause;
};
void keep(Context& context, const std::stop_token& stop,
          const KeeperCalls& calls);

}  // namespace pgrecast::migration
