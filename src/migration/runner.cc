#include "pgrecast/migration/runner.h"

#include "pgrecast/base/log.h"
#include "pgrecast/base/sync_point.h"
#include "pgrecast/base/text.h"
#include "pgrecast/base/thread_group.h"
#include "pgrecast/capture/publication.h"
#include "pgrecast/capture/slot.h"
#include "pgrecast/copy/copier.h"
#include "pgrecast/migration/cleanup.h"
#include "pgrecast/migration/leftovers.h"
#include "pgrecast/migration/planning.h"
#include "pgrecast/migration/retained_limit.h"
#include "pgrecast/pg/errors.h"

#include "context.h"

#include <fmt/format.h>

#include <atomic>
#include <exception>
#include <mutex>
#include <optional>
#include <utility>

namespace pgrecast::migration {
namespace {

// What rounds rest while a migration is ready and nothing happens.
constexpr milliseconds kReadyRest{500};
// A migration may be ready for days: it proves again that it still is.
constexpr auto kVerifyAgainEvery = std::chrono::hours(1);
// Passes of verification that may find differences before it is given up.
constexpr int kPassesMax = 3;
// How long the session of a process that is dead may go on holding the
// migration: while it executes a statement, the server looks after its client
// every 2 s (client_connection_check_interval).
constexpr auto kDeadSessionTimeMax = std::chrono::seconds(5);
constexpr milliseconds kLookAgain{50};

// What a failure is to the operator. A commit in doubt is an interruption:
// the state tells which of the two happened. (The exchange's own is found out
// where it happens.) Data that the new shape refuses is theirs to mend, also
// where a later change brought it.
[[noreturn]] void rethrow_for_operator(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const pg::CommitInDoubt& error) {
    throw pg::ConnectionError(error.what());
  } catch (const pg::SqlError& error) {
    if (!error.blames_data()) throw;
    throw copy::DataRejected(error.what(), {error.fields().detail});
  }
}

std::optional<Heartbeat> last_heartbeat(pg::Connection& connection,
                                        const std::string& name) {
  if (!find_migration(connection, name)) return std::nullopt;
  return read_heartbeat(connection, name);
}

// Refused at once beside a process that is seen to live, and after a while
// beside one that may be dead or frozen.
void lock_or_refuse(pg::Connection& connection, const MigrationRecord& record) {
  const Deadline deadline = Deadline::in(kDeadSessionTimeMax);
  std::optional<Heartbeat> first;
  while (!lock_migration(connection, record)) {
    const auto beat = last_heartbeat(connection, record.name);
    if (!first) first = beat;
    const bool lives = first && beat && beat->age_seconds < first->age_seconds;
    if (lives || deadline.passed()) {
      throw Refused(
          fmt::format(
              "another process runs the migration {} at this moment{}",
              record.name,
              beat ? fmt::format(": process {} on {}, seen {:.0f} s ago",
                                 beat->pid, beat->host, beat->age_seconds)
                   : ""),
          "look at `pgrecast status`; stop that process, or let it go on");
    }
    connection.wait_readable(Deadline::in(kLookAgain));
  }
}

}  // namespace

class Runner::Impl {
 public:
  Impl(RunOptions options, Progress& progress, const std::stop_token& stop)
      : operator_stop_(stop), threads_(stop) {
    context_.options = std::move(options);
    context_.progress = &progress;
    context_.stop = threads_.stop_token();
  }

  void run() {
    try {
      body();
    } catch (const Stopped&) {
      stop_threads();
      end_of_stopped();
    } catch (...) {
      // A thread that failed before is the reason that everything else did.
      const auto first = threads_.error();
      stop_threads();
      fail(first != nullptr ? first : std::current_exception());
    }
    stop_threads();
  }

 private:
  void body();
  void connect();
  bool find_migration();
  void begin(const script::Script& script);
  void resume(const script::Script& script);
  void undo();
  void repair();
  void start_stream();
  void start_keeper();
  void start_watching();
  void go_on();
  bool verification_owed();
  void note_verified(bool verified);
  void verify();
  void wait_until_asked();
  void clear_away();
  void on_command(const Command& command);
  void end_of_stopped();

  // No thread of ours runs any more.
  void close_capture() {
    receiver_.reset();
    context_.fence.reset();
    context_.refresh.reset();
    context_.buffer.reset();
  }

  bool writers_protected() {
    try {
      return recover_control(context_, std::stop_token()) &&
             protect_writers(context_, *context_.control);
    } catch (const Error& error) {
      log::error("migration", "cannot see whether writers are hindered",
                 "error='{}' next='drop publication {} if they are'",
                 error.what(), context_.record.publication);
      return false;
    }
  }

  // No thread of ours runs any more. In one transaction, so that nobody takes
  // the migration over in between. The slot goes at once, the publication with
  // the commit: without the slot, it costs nobody anything.
  void give_up_stream() {
    close_capture();
    if (!recover_control(context_, std::stop_token())) return;
    context_.write([&](pg::Connection& connection) {
      add_event(connection, context_.record.name, "slot given up", "");
      capture::drop_publication(connection, context_.record.publication);
      capture::drop_slot(connection, context_.record.slot,
                         Deadline::in(std::chrono::seconds(30)));
    });
  }

  // No thread of ours runs any more. Left as it is, the next run would take
  // what is theirs for ours.
  void undo_unmade_by(const NameTaken& taken) {
    if (context_.record.phase != Phase::kPreparing) return;
    const auto record = recover_control(context_, std::stop_token());
    if (record) undo_unmade(*context_.control, *record, taken.kind());
  }

  [[noreturn]] void fail(const std::exception_ptr& failure) {
    try {
      rethrow_for_operator(failure);
    } catch (const NameTaken& taken) {
      undo_unmade_by(taken);
      throw;
    } catch (const RetainedTooMuch& error) {
      give_up_stream();
      throw ChangesLost(error.what());
    } catch (const SourceChanged& error) {
      // Whoever noticed it: before we end, the application can go on.
      // What is only being prepared is begun anew anyway.
      if (!writers_protected() || context_.record.phase == Phase::kPreparing) {
        throw;
      }
      throw SourceChanged(
          error.what(),
          "its publication was dropped, so that the application's updates go "
          "on, and changes are lost from there: undo that change and run the "
          "same command with --repair, or `pgrecast abort` and begin anew");
    }
  }

  void stop_threads() {
    threads_.request_stop();
    try {
      threads_.join();
    } catch (const std::exception& error) {
      log::debug("migration", "thread ended", "error={}", error.what());
    }
  }

  std::stop_token operator_stop_;
  Context context_;
  std::atomic<bool> cutover_asked_{false};
  std::mutex mutex_;
  std::string aborted_by_;
  std::optional<capture::Receiver> receiver_;
  ThreadGroup threads_;  // last, so that threads end first
};

void Runner::Impl::body() {
  const script::Script script = read_script(context_.options, context_.stop);
  connect();
  if (find_migration()) {
    resume(script);
  } else {
    begin(script);
  }
  go_on();
}

void Runner::Impl::connect() {
  const pg::Endpoint first{.conninfo = context_.options.conninfo,
                           .application = "pgrecast"};
  pg::Connection connection =
      pg::Connection::open(first, context_.options.name, context_.stop);
  refuse_standby(connection);
  context_.names =
      plan::make_names(context_.options.name, database_oid(connection));
  context_.endpoint = endpoint_of(context_.options.conninfo, context_.names);
  context_.control = context_.open("control", context_.stop);
  context_.record.name = context_.options.name;
  context_.record.slot = context_.names.slot;
  context_.record.publication = context_.names.publication;
  context_.progress->update(
      [&](ProgressData& data) { data.migration = context_.options.name; });
  lock_or_refuse(*context_.control, context_.record);
}

bool Runner::Impl::find_migration() {
  auto record =
      migration::find_migration(*context_.control, context_.options.name);
  if (!record) return false;
  if (record->script != context_.options.script) {
    throw Refused({another_script(context_.options.name)});
  }
  context_.record = std::move(*record);
  return true;
}

void Runner::Impl::begin(const script::Script& script) {
  const PlanReport report =
      plan_migration(*context_.control, script, context_.names,
                     context_.options, context_.stop);
  if (context_.options.confirm && !context_.options.confirm(report)) {
    throw NotConfirmed();
  }
  const plan::Plan& plan = report.plan;
  context_.record.phase = Phase::kPreparing;
  context_.record.script = context_.options.script;
  context_.record.script_file = context_.options.script_file;
  // Neither the plan, nor the person who read it, is a part of the migration.
  context_.progress->update([](ProgressData& data) {
    data.phase = Phase::kPreparing;
    data.phase_began = Clock::now();
  });
  log::info("migration", "phase changed", "phase=preparing");
  prepare(context_, script, plan);
  start_keeper();
  make_slot(context_);
  start_stream();
  find_start(context_);
  record_identity(context_);
  start_watching();
  PGRECAST_SYNC_POINT("prepare:x0");
  context_.enter(Phase::kCopying);
}

void Runner::Impl::resume(const script::Script& script) {
  context_.epoch = take_ownership(*context_.control, context_.record);
  // Again: what a process before us had in flight is over only now.
  if (auto now = read_migration(*context_.control, context_.record.name)) {
    context_.record = std::move(*now);
  }
  const Phase phase = context_.record.phase;
  log::info("migration", "resuming", "phase={}", name_of(phase));
  // Meant for the process before us, and for its hour.
  if (take_back_command(*context_.control, context_.record.name, "cutover")) {
    log::warn("migration", "a cutover that nobody heard is not done now",
              "next='pgrecast cutover {}'", context_.record.name);
  }
  context_.progress->update([&](ProgressData& data) {
    data.phase = phase;
    data.phase_began = Clock::now();
  });
  if (context_.options.on_resume) context_.options.on_resume();
  if (phase == Phase::kExchanged || phase == Phase::kDone) return;
  const bool incomplete = phase == Phase::kPreparing;
  const bool copy_lost = context_.options.repair && phase < Phase::kCatchingUp;
  if (incomplete || copy_lost || context_.options.restart) {
    undo();
    begin(script);
    return;
  }
  load_tables(context_);
  start_keeper();
  if (context_.options.repair) {
    repair();
    return;
  }
  if (context_.record.system_identifier == 0) {
    throw ChangesLost(
        "the migration was being repaired when it was "
        "interrupted");
  }
  start_stream();
  if (phase > Phase::kSettling && accept_changes(context_).any()) {
    context_.record.verified = false;
  }
  start_watching();
}

void Runner::Impl::undo() {
  undo_migration(*context_.control, context_.record,
                 context_.options.state_dir);
}

// The changes since the loss are unknown: a new slot, and everything is
// verified, which dirties what differs.
void Runner::Impl::repair() {
  log::warn("migration", "repairing: a new slot, and verifying everything",
            "migration={}", context_.record.name);
  // Before anything else: whoever resumes when this is interrupted must not
  // take the shadow for exact.
  context_.write([&](pg::Connection& connection) {
    set_verified(connection, context_.record.name, false);
    set_identity(connection, context_.record.name, 0, 0);
    add_event(connection, context_.record.name, kRepairingEvent, "");
  });
  context_.record.verified = false;
  context_.enter(Phase::kCatchingUp);
  publish_again(context_);
  capture::drop_slot(*context_.control, context_.record.slot,
                     Deadline::in(std::chrono::seconds(30)));
  ChangeBuffer::destroy(
      buffer_path(context_.options.state_dir, context_.record));
  make_slot(context_);
  start_stream();
  find_start(context_);
  record_identity(context_);
  start_watching();
}

void Runner::Impl::start_stream() {
  std::vector<capture::CapturedTable> tables;
  for (std::size_t i = 0; i < context_.tables.size(); ++i) {
    const plan::MigratedTable& table = context_.tables[i];
    capture::CapturedTable captured{.oid = table.source.oid,
                                    .id = table.target.ordinal,
                                    .key_columns = {},
                                    .codec = &context_.codecs[i]};
    for (const catalog::KeyColumn& column : table.source.key.value().columns) {
      captured.key_columns.push_back(column.name);
    }
    tables.push_back(std::move(captured));
  }
  pg::ReplicationStream stream = open_stream(context_);
  receiver_.emplace(std::move(stream), std::move(tables), *context_.buffer,
                    *context_.xids, *context_.fences, context_.receiver_status);
  threads_.run([this](const std::stop_token& stop) { receiver_->run(stop); });
}

void Runner::Impl::start_keeper() {
  threads_.run([this](const std::stop_token& stop) {
    keep(context_, stop,
         {.on_command = [this](const Command& command) { on_command(command); },
          .on_cause =
              [this](std::exception_ptr cause) {
                threads_.note(std::move(cause));
              }});
  });
}

// From here on the keeper measures the stream and watches the sources.
void Runner::Impl::start_watching() {
  context_.watched = watched_tables(context_);
  context_.in_stream = true;
}

void Runner::Impl::on_command(const Command& command) {
  log::info("migration", "command", "command={} by={}", command.command,
            command.by);
  if (command.command == "cutover") cutover_asked_ = true;
  if (command.command == "abort") {
    {
      const std::lock_guard lock(mutex_);
      aborted_by_ = command.by;
    }
    threads_.request_stop();
  }
}

// Each phase in its turn, from wherever the migration stands.
void Runner::Impl::go_on() {
  Phase& phase = context_.record.phase;
  if (phase == Phase::kCopying || phase == Phase::kSettling) {
    copy_tables(context_);
    context_.enter(Phase::kIndexing);
  }
  for (;;) {
    try {
      if (phase == Phase::kIndexing) {
        build_indexes(context_);
        context_.enter(Phase::kCatchingUp);
      }
      if (phase == Phase::kCatchingUp) {
        catch_up(context_, false);
        context_.enter(Phase::kVerifying);
      }
      // Whoever was ready may not be it any more: the source was rewritten, or
      // a later pass found a difference, and then the process died.
      if (phase == Phase::kReady && verification_owed()) {
        context_.enter(Phase::kVerifying);
      }
      if (phase == Phase::kVerifying) {
        if (verification_owed()) verify();
        look_for_references(context_);
        context_.enter(Phase::kReady);
      }
      if (phase == Phase::kReady) {
        if (context_.options.cutover == CutoverPolicy::kManual) {
          wait_until_asked();
        }
        cut_over(context_);
      }
      break;
    } catch (const catalog::FingerprintMismatch&) {
      if (!accept_changes(context_).any()) throw;
      context_.record.verified = false;
      if (phase > Phase::kVerifying) context_.enter(Phase::kVerifying);
    }
  }
  if (phase == Phase::kExchanged) clear_away();
}

bool Runner::Impl::verification_owed() {
  if (context_.record.verified) return false;
  return context_.options.verify ||
         must_verify(*context_.control, context_.record.name);
}

void Runner::Impl::note_verified(bool verified) {
  context_.write([&](pg::Connection& connection) {
    migration::set_verified(connection, context_.record.name, verified);
    if (verified) {
      add_event(connection, context_.record.name, kVerifiedEvent, "");
    }
  });
  context_.record.verified = verified;
}

void Runner::Impl::verify() {
  PassResult result;
  // Where changes were missed, the first pass that finds them does not count.
  bool expected = must_verify(*context_.control, context_.record.name);
  bool differed = expected;
  for (int pass = 1; pass <= kPassesMax; ++pass) {
    // A pass excuses what is dirty. What the last one found is, and so may be
    // what a process before us found: to be refreshed first, and then compared.
    catch_up(context_, false);
    result = verify_tables(context_);
    if (result.differences == 0) {
      if (differed) context_.note_incomplete();
      return note_verified(true);
    }
    differed = true;
    // Before anything else: whoever resumes must not take it for verified.
    if (context_.record.verified) note_verified(false);
    log::warn("verify", "rows differed that were not dirty, refreshing them",
              "count={} expected={}", result.differences, expected);
    for (const std::string& difference : result.shown) {
      context_.event("difference", difference);
    }
    if (std::exchange(expected, false)) pass = 0;
  }
  throw VerificationFailed(
      fmt::format("rows still differ after {} passes", kPassesMax),
      std::move(result.shown));
}

void Runner::Impl::wait_until_asked() {
  log::info("migration", "ready", "migration={} next='pgrecast cutover {}'",
            context_.record.name, context_.record.name);
  Deadline verify_again = Deadline::in(kVerifyAgainEvery);
  while (!cutover_asked_) {
    catch_up(context_, false);
    if (context_.options.verify && verify_again.passed()) {
      verify();
      look_for_references(context_);
      verify_again = Deadline::in(kVerifyAgainEvery);
    }
    context_.control->wait_readable(Deadline::in(kReadyRest));
  }
}

// The exchange is committed here.
void Runner::Impl::clear_away() {
  stop_threads();
  close_capture();
  PGRECAST_SYNC_POINT("exchanged:clear_away");
  const auto record = recover_control(context_, operator_stop_);
  if (!record) {
    throw OwnershipLost("another process has finished the migration meanwhile");
  }
  complete_exchange(*context_.control, *record, context_.options.state_dir);
  context_.record.phase = Phase::kDone;
  context_.progress->update([&](ProgressData& data) {
    const auto now = Clock::now();
    data.phase_took[data.phase] +=
        std::chrono::duration_cast<milliseconds>(now - data.phase_began);
    data.phase = Phase::kDone;
    data.phase_began = now;
  });
  log::info("migration", "phase changed", "phase=done");
}

void Runner::Impl::end_of_stopped() {
  std::string by;
  {
    const std::lock_guard lock(mutex_);
    by = aborted_by_;
  }
  if (by.empty()) {
    // A thread of ours failed, and stopped the others.
    if (const auto error = threads_.error()) fail(error);
    throw Stopped();
  }
  close_capture();
  PGRECAST_SYNC_POINT("abort:undo");
  auto record = recover_control(context_, operator_stop_);
  if (record) {
    // An exchange of ours may be committing still, if its session broke.
    take_ownership(*context_.control, *record);
    record = read_migration(*context_.control, context_.record.name);
  }
  if (record) {
    if (record->phase >= Phase::kExchanged) throw Stopped();
    undo_migration(*context_.control, *record, context_.options.state_dir);
  }
  throw Aborted(by);
}

Runner::Runner(RunOptions options, Progress& progress, std::stop_token stop)
    : impl_(std::make_unique<Impl>(std::move(options), progress, stop)) {}

Runner::~Runner() = default;

void Runner::run() {
  impl_->run();
}

}  // namespace pgrecast::migration
