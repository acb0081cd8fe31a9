#include "pgrecast/base/error.h"
#include "pgrecast/base/log.h"
#include "pgrecast/base/sync_point.h"
#include "pgrecast/base/text.h"
#include "pgrecast/capture/publication.h"
#include "pgrecast/capture/slot.h"
#include "pgrecast/catalog/fingerprint.h"
#include "pgrecast/migration/cleanup.h"
#include "pgrecast/migration/leftovers.h"
#include "pgrecast/migration/rivals.h"
#include "pgrecast/pg/errors.h"
#include "pgrecast/pg/quote.h"
#include "pgrecast/plan/partitions.h"

#include "context.h"

#include <boost/uuid/random_generator.hpp>
#include <boost/uuid/uuid_io.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <future>
#include <iterator>
#include <utility>

namespace pgrecast::migration {
namespace {

// Old transactions make the slot's creation wait, and X0; whoever has one open
// for longer than this has to be asked.
constexpr auto kOldTransactionsTimeMax = std::chrono::minutes(30);
constexpr auto kSlotFreeTimeMax = std::chrono::seconds(60);
constexpr auto kLookAgain = milliseconds(100);
constexpr auto kLookAtWaiting = std::chrono::seconds(1);

ColumnForm column_form(catalog::KeyForm form) {
  switch (form) {
    case catalog::KeyForm::kInt2:
      return ColumnForm::kInt2;
    case catalog::KeyForm::kInt4:
      return ColumnForm::kInt4;
    case catalog::KeyForm::kInt8:
      return ColumnForm::kInt8;
    case catalog::KeyForm::kOid:
      return ColumnForm::kOid;
    case catalog::KeyForm::kUuid:
      return ColumnForm::kUuid;
    case catalog::KeyForm::kTimestamp:
      return ColumnForm::kTimestamp;
    case catalog::KeyForm::kRaw:
      return ColumnForm::kRaw;
  }
  return ColumnForm::kRaw;
}

BufferIdentity buffer_identity(Context& context) {
  return {.format_version = kBufferFormatVersion,
          .migration = context.record.id,
          .system_identifier = context.record.system_identifier,
          .timeline = context.record.timeline,
          .database_oid = database_oid(*context.control),
          .slot_name = context.record.slot};
}

pg::Connection open_replication(const Context& context) {
  return pg::Connection::open(context.endpoint, "stream", context.stop,
                              pg::Connection::Kind::kReplication);
}

// Who holds the slot's creation, or X0, up.
struct OldTransactions {
  std::vector<std::string> who;
  std::string described;  // with their ages
};

OldTransactions read_old_transactions(pg::Connection& connection) {
  const pg::Result rows = connection.exec(
      "SELECT pid::pg_catalog.text,"
      "   pg_catalog.format('pid %s (%s, %s, for %s)', pid,"
      "   COALESCE(NULLIF(application_name, ''), 'unnamed'), state,"
      "   pg_catalog.date_trunc('second', pg_catalog.clock_timestamp() - "
      "xact_start))"
      " FROM pg_catalog.pg_stat_activity"
      " WHERE backend_xid IS NOT NULL AND pid <> pg_catalog.pg_backend_pid()"
      "  AND xact_start < pg_catalog.clock_timestamp() - "
      "pg_catalog.make_interval(secs => 1)"
      " UNION ALL SELECT gid, pg_catalog.format('prepared transaction %L', gid)"
      " FROM pg_catalog.pg_prepared_xacts ORDER BY 1");
  OldTransactions old;
  std::vector<std::string> described;
  for (int row = 0; row < rows.rows(); ++row) {
    old.who.emplace_back(rows.text(row, 0));
    described.emplace_back(rows.text(row, 1));
  }
  old.described = join(described, ", ");
  return old;
}

// Says who is waited for, each time that it is asked to, and logs it where they
// are others: who was young when the waiting began, and stays, is named, too.
class Waiting {
 public:
  explicit Waiting(Context& context) : context_(context) {}
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;
  ~Waiting() { context_.show_waiting(""); }

  void look() {
    OldTransactions old = read_old_transactions(*context_.control);
    if (old.who.empty()) return;
    const std::string what = "older transactions to end: " + old.described;
    context_.show_waiting(what);
    if (old.who == logged_) return;
    log::info("migration", "waiting", "for='{}'", what);
    logged_ = std::move(old.who);
  }

 private:
  Context& context_;
  std::vector<std::string> logged_;
};

// The server says nothing while it waits for old transactions; so we look.
Lsn create_slot(Context& context, pg::Connection& replication) {
  std::stop_source ended;
  const std::stop_callback stopped(context.stop, [&] { ended.request_stop(); });
  replication.obey(ended.get_token());
  auto made = std::async(std::launch::async, [&] {
    return capture::create_slot(replication, context.record.slot,
                                Deadline::in(kOldTransactionsTimeMax));
  });
  Waiting waiting(context);
  try {
    while (made.wait_for(kLookAtWaiting) != std::future_status::ready) {
      waiting.look();
    }
  } catch (...) {
    ended.request_stop();  // its destructor waits for `made`
    throw;
  }
  return made.get();
}

// Until no snapshot is older than now.
void wait_for_running(Context& context) {
  pg::Connection& connection = *context.control;
  // Not the xmax of a snapshot: that is the last *completed* xid plus one, so a
  // running transaction may lie above it.
  const auto burnt =
      connection.exec("SELECT pg_catalog.pg_current_xact_id()::pg_catalog.text")
          .number<std::uint64_t>(0, 0);
  const auto still_running = [&] {
    return connection
               .exec(
                   "SELECT pg_catalog.pg_snapshot_xmin("
                   "pg_catalog.pg_current_snapshot())::pg_catalog.text")
               .number<std::uint64_t>(0, 0) < burnt;
  };
  const Deadline deadline = Deadline::in(kOldTransactionsTimeMax);
  Deadline look = Deadline::in(milliseconds(0));
  Waiting waiting(context);
  while (still_running()) {
    if (look.passed()) {
      waiting.look();
      look = Deadline::in(kLookAtWaiting);
    }
    if (deadline.passed()) {
      throw TimedOut("older transactions did not end: " +
                     read_old_transactions(connection).described);
    }
    connection.wait_readable(Deadline::in(kLookAgain));
  }
}

constexpr std::string_view kPublicationPart = "publication: ";
constexpr std::string_view kLinksPart = "partition links: ";

// The fingerprint less what decides which changes are in the stream: our
// publication, and that each partition belonged to the table all the time.
catalog::Fingerprint unpublished(catalog::Fingerprint fingerprint) {
  std::erase_if(fingerprint.shape, [](const std::string& part) {
    return part.starts_with(kPublicationPart) || part.starts_with(kLinksPart);
  });
  return fingerprint;
}

void refuse_changed(const Context& context, const plan::TableTarget& target,
                    const catalog::Fingerprint& before,
                    const catalog::Fingerprint& now) {
  const auto difference = before.shape_difference(now);
  if (difference.empty()) return;
  const std::string name = target.source.display();
  if (context.record.phase == Phase::kPreparing) {
    throw SourceChanged(
        fmt::format("{} was changed by somebody since it was planned: {}", name,
                    difference),
        "run the same command again: it plans anew");
  }
  throw SourceChanged(
      fmt::format("{} was changed by somebody while it was being migrated: {}",
                  name, difference));
}

// Behind insert_migration(): see rivals.h.
void refuse_rivals(pg::Connection& connection, const plan::Plan& plan) {
  std::vector<Refusal> refusals;
  for (const catalog::Table& source : plan.sources) {
    std::ranges::move(rival_refusals(connection, source, plan.names),
                      std::back_inserter(refusals));
  }
  if (!refusals.empty()) throw Refused(std::move(refusals));
}

// Between the plan and its confirmation may lie minutes. What somebody changes
// from here on, the fingerprints of the plan tell later.
void create_all_shadows(Context& context, const script::Script& script,
                        const plan::Plan& planned) {
  pg::Connection& connection = *context.control;
  plan::Plan plan = planned;
  pg::Transaction transaction(connection);
  for (std::size_t i = 0; i < plan.targets.size(); ++i) {
    refuse_changed(
        context, plan.targets[i], unpublished(plan.fingerprints[i]),
        unpublished(catalog::read_fingerprint(connection, plan.sources[i].oid,
                                              context.record.publication)));
  }
  plan::build_shadows(connection, script, plan);
  context.record.schemas = plan.schemas;
  const std::uint64_t epoch = insert_migration(connection, context.record);
  for (std::size_t i = 0; i < plan.targets.size(); ++i) {
    const auto& target = plan.targets[i];
    const auto shadow = catalog::find_relation(connection, target.shadow.schema,
                                               target.shadow.name);
    insert_table(connection, context.record.name, target, plan.sources[i].oid,
                 shadow.value(), plan.fingerprints[i]);
  }
  refuse_rivals(connection, plan);
  add_event(connection, context.record.name, "phase", "preparing");
  PGRECAST_SYNC_POINT("prepare:recorded");
  transaction.commit();
  context.epoch = epoch;
}

// How large a source is now, which is locked.
void read_size(Context& context, std::size_t index) {
  pg::Connection& connection = *context.control;
  plan::MigratedTable& table = context.tables[index];
  if (!table.source.partitioned()) {
    context.blocks[index] = catalog::count_blocks(connection, table.source.oid);
    return;
  }
  table.leaves = catalog::read_leaves(connection, table.source.oid);
  context.blocks[index] = 0;
  for (const catalog::Heap& leaf : table.leaves) {
    context.blocks[index] += leaf.blocks;
  }
}

// What somebody did while nobody looked. Throws SourceChanged where a shape
// differs; returns whether the sources were published all the time.
bool look_at_sources(Context& context) {
  bool published = true;
  for (const plan::MigratedTable& table : context.tables) {
    const catalog::Fingerprint now = catalog::read_fingerprint(
        *context.control, table.source.oid, context.record.publication);
    refuse_changed(context, table.target, unpublished(table.fingerprint),
                   unpublished(now));
    published = published && table.fingerprint.shape == now.shape;
  }
  return published;
}

// Also where it cannot be told: a repair was interrupted.
bool on_another_server(const Context& context) {
  pg::Connection replication = open_replication(context);
  return capture::identify_system(replication).system_identifier !=
         context.record.system_identifier;
}

// What pg_upgrade makes of a table is the same and is stored otherwise: what is
// printed must be as it was, and what is stored is taken over. Throws
// SourceChanged.
void accept_other_server(Context& context, plan::MigratedTable& table) {
  pg::Connection& connection = *context.control;
  pg::Transaction transaction(connection);
  connection.exec(
      fmt::format("LOCK TABLE {} IN ACCESS SHARE MODE", table.source.whole()));
  const catalog::Fingerprint now = catalog::read_whole_fingerprint(
      connection, table.source.oid, context.record.publication);
  if (unpublished(table.fingerprint)
          .shape_difference(unpublished(now))
          .empty()) {
    return;
  }
  const std::string name = table.target.source.display();
  if (table.fingerprint.printed.empty()) {
    throw SourceChanged(fmt::format(
        "{} is on another server now, and an older pgrecast has not recorded "
        "how to tell that it is the same table: --restart copies again",
        name));
  }
  if (const auto difference = table.fingerprint.printed_difference(now);
      !difference.empty()) {
    throw SourceChanged(
        fmt::format("{} is on another server now, and was changed by somebody "
                    "since it was copied: {}",
                    name, difference));
  }
  table.fingerprint = now;
}

// The publication as it was just made belongs to the fingerprints from now on.
void know_publication(Context& context) {
  for (plan::MigratedTable& table : context.tables) {
    const catalog::Fingerprint now = catalog::read_fingerprint(
        *context.control, table.source.oid, context.record.publication);
    refuse_changed(context, table.target, unpublished(table.fingerprint),
                   unpublished(now));
    table.fingerprint = now;
  }
  context.make_guard();
}

// In the transaction that takes `now` over.
void accept_new_storage(Context& context, std::size_t index,
                        const catalog::Fingerprint& now) {
  pg::Connection& connection = *context.control;
  const plan::MigratedTable& table = context.tables[index];
  const std::string name = table.target.source.display();
  log::warn("migration", "source was rewritten by somebody",
            "table={} relfilenode={} was={}", name, now.storage,
            table.fingerprint.storage);
  if (context.record.phase <= Phase::kSettling) {
    connection.exec("TRUNCATE " + table.target.whole_shadow());
    delete_chunks(connection, context.record.name, table.target.ordinal);
    read_size(context, index);
  } else {
    set_verified(connection, context.record.name, false);
  }
  add_event(connection, context.record.name, kRewrittenEvent, name);
}

// In the same way. All labels that we know still mean what they did, but one
// may have meant another for a while, and a change may have been noted by it.
void accept_new_labels(Context& context, const plan::MigratedTable& table) {
  const std::string name = table.target.source.display();
  log::warn("migration", "labels of the key's types were changed by somebody",
            "table={}", name);
  set_verified(*context.control, context.record.name, false);
  add_event(*context.control, context.record.name, kLabelsEvent, name);
}

// Makes something under a name of ours.
template <typename Make>
void make_named(Context& context, Leftover kind, const Make& make) {
  try {
    make();
  } catch (const pg::SqlError& error) {
    const bool taken = error.sqlstate() == pg::sqlstate::kDuplicateObject ||
                       error.sqlstate() == pg::sqlstate::kDuplicateSchema ||
                       // Of the catalog's, where both do it at once.
                       error.sqlstate() == pg::sqlstate::kUniqueViolation;
    if (!taken) throw;
    auto theirs = leftover_refusals(*context.control, context.names, kind);
    if (theirs.empty()) throw;
    throw NameTaken(kind, std::move(theirs));
  }
}

}  // namespace

void prepare(Context& context, const script::Script& script,
             const plan::Plan& plan) {
  context.record.id =
      boost::uuids::to_string(boost::uuids::random_generator()());
  context.record.settings = plan.settings;
  context.record.slot = plan.names.slot;
  context.record.publication = plan.names.publication;
  // Again: minutes may have passed until the plan was confirmed.
  if (auto left = leftover_refusals(*context.control, plan.names);
      !left.empty()) {
    throw Refused(std::move(left));
  }
  PGRECAST_SYNC_POINT("prepare:planned");
  make_named(context, Leftover::kSchema,
             [&] { create_all_shadows(context, script, plan); });
  PGRECAST_SYNC_POINT("prepare:shadows");
  make_named(context, Leftover::kPublication, [&] {
    context.write([&](pg::Connection& connection) {
      capture::create_publication(connection, context.record.publication,
                                  plan.sources);
    });
  });
  PGRECAST_SYNC_POINT("prepare:publication");
  load_tables(context);
  know_publication(context);
}

void load_tables(Context& context) {
  context.tables.clear();
  context.codecs.clear();
  context.blocks.clear();
  for (TableRecord& record :
       read_tables(*context.control, context.record.name)) {
    plan::MigratedTable table;
    table.source = catalog::read_table(*context.control, record.source_oid);
    if (!table.source.key) {
      throw SourceChanged(fmt::format("{} has no usable key any more: {}",
                                      record.target.source.display(),
                                      table.source.key_problem));
    }
    std::vector<ColumnForm> forms;
    for (const catalog::KeyColumn& column : table.source.key->columns) {
      forms.push_back(column_form(column.form));
    }
    context.codecs.emplace_back(std::move(forms));
    context.blocks.push_back(record.blocks);
    table.target = std::move(record.target);
    table.shadow_oid = record.shadow_oid;
    table.leaves = std::move(record.leaves);
    table.fingerprint = std::move(record.fingerprint);
    context.tables.push_back(std::move(table));
  }
  context.make_guard();
  std::vector<CopiedChunks> copied;
  for (const plan::MigratedTable& table : context.tables) {
    copied.push_back(read_chunks(*context.control, context.record.name,
                                 table.target.ordinal));
  }
  context.progress->update([&](ProgressData& data) {
    data.tables.clear();
    for (std::size_t i = 0; i < context.tables.size(); ++i) {
      data.tables.push_back(
          {.name = context.tables[i].target.source.display(),
           .blocks = context.blocks[i],
           .blocks_copied = copied[i].blocks(),
           .rows_copied = copied[i].rows,
           .rows_estimate = context.tables[i].source.rows_estimate});
    }
  });
}

void publish_again(Context& context) {
  if (on_another_server(context)) {
    for (plan::MigratedTable& table : context.tables) {
      accept_other_server(context, table);
    }
  }
  look_at_sources(context);
  std::vector<catalog::Table> sources;
  for (const plan::MigratedTable& table : context.tables) {
    sources.push_back(table.source);
  }
  make_named(context, Leftover::kPublication, [&] {
    context.write([&](pg::Connection& connection) {
      capture::drop_publication(connection, context.record.publication);
      capture::create_publication(connection, context.record.publication,
                                  sources);
    });
  });
  know_publication(context);
}

void make_slot(Context& context) {
  pg::Connection replication = open_replication(context);
  const capture::SystemIdentity system = capture::identify_system(replication);
  context.record.system_identifier = system.system_identifier;
  context.record.timeline = system.timeline;
  Lsn point;
  make_named(context, Leftover::kSlot,
             [&] { point = create_slot(context, replication); });
  PGRECAST_SYNC_POINT("prepare:slot");
  std::filesystem::create_directories(context.options.state_dir);
  context.buffer = ChangeBuffer::create(
      buffer_path(context.options.state_dir, context.record),
      buffer_identity(context), point);
  PGRECAST_SYNC_POINT("prepare:buffer");
  log::info("capture", "slot created", "slot={} consistent_point={}",
            context.record.slot, point.to_string());
}

pg::ReplicationStream open_stream(Context& context) {
  pg::Connection replication = open_replication(context);
  const capture::SystemIdentity system = capture::identify_system(replication);
  if (system.system_identifier != context.record.system_identifier) {
    throw ChangesLost(
        "this is another server than the one on which the migration began "
        "(system identifier)");
  }
  if (system.timeline != context.record.timeline) {
    throw ChangesLost(fmt::format(
        "the server was promoted (timeline {} instead of {}): refreshes may be "
        "missing whose keys are forgotten",
        system.timeline, context.record.timeline));
  }
  if (!context.buffer) {
    context.buffer = ChangeBuffer::open(
        buffer_path(context.options.state_dir, context.record),
        buffer_identity(context));
  }
  capture::free_slot(*context.control, context.record.slot,
                     Deadline::in(kSlotFreeTimeMax));
  const auto slot = capture::read_slot(*context.control, context.record.slot);
  if (!slot) {
    throw ChangesLost(
        fmt::format("the replication slot {} is gone", context.record.slot));
  }
  if (slot->wal_status == "lost") {
    throw ChangesLost(fmt::format(
        "the replication slot {} was invalidated: the server removed WAL that "
        "it needed (max_slot_wal_keep_size)",
        context.record.slot));
  }
  if (slot->confirmed_flush_lsn > context.buffer->durable_position()) {
    throw ChangesLost(fmt::format(
        "the replication slot {} was confirmed up to {}, the change buffer "
        "ends at {}",
        context.record.slot, slot->confirmed_flush_lsn.to_string(),
        context.buffer->durable_position().to_string()));
  }
  if (!look_at_sources(context)) {
    throw ChangesLost(
        fmt::format("the publication {} was dropped or changed by somebody, or "
                    "a partition was detached for a while",
                    context.record.publication));
  }
  const pg::Result xmax = context.control->exec(
      "SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())"
      "::pg_catalog.text");
  context.xids = std::make_unique<capture::XidReference>(
      Xid64{xmax.number<std::uint64_t>(0, 0)});
  context.fences =
      std::make_unique<capture::Fences>(context.record.slot, *context.xids);
  return {std::move(replication), context.record.slot,
          context.record.publication};
}

void record_identity(Context& context) {
  context.write([&](pg::Connection& connection) {
    set_identity(connection, context.record.name,
                 context.record.system_identifier, context.record.timeline);
  });
}

void find_start(Context& context) {
  pg::Connection& connection = *context.control;
  if (rule_on("wait_for_running")) wait_for_running(context);
  // Every snapshot from here on is a later one than X0.
  const catalog::SourceGuard owner(
      ownership_query(context.record.name, context.epoch));
  for (std::size_t i = 0; i < context.tables.size(); ++i) {
    plan::MigratedTable& table = context.tables[i];
    pg::Transaction transaction(connection);
    owner.prove_ownership(connection);
    connection.exec(fmt::format("LOCK TABLE {} IN ACCESS SHARE MODE",
                                table.source.whole()));
    const catalog::Fingerprint now = catalog::read_whole_fingerprint(
        connection, table.source.oid, context.record.publication);
    // The copy and the stream know the table as it was when the shadow was
    // made.
    refuse_changed(context, table.target, unpublished(table.fingerprint),
                   unpublished(now));
    table.fingerprint = now;
    // A partition that came since the shadow was made, say.
    if (const auto changed = plan::changed_partitions(connection, table.target,
                                                      table.source.oid);
        !changed.empty()) {
      throw SourceChanged(
          "a partition was changed by somebody since the plan: " +
          join(changed, "; "));
    }
    read_size(context, i);
    set_table_start(connection, context.record.name, table.target.ordinal,
                    table.fingerprint, context.blocks[i], table.leaves);
    transaction.commit();
    context.progress->update(
        [&](ProgressData& data) { data.tables[i].blocks = context.blocks[i]; });
  }
  context.make_guard();
}

Accepted accept_changes(Context& context) {
  pg::Connection& connection = *context.control;
  const catalog::SourceGuard owner(
      ownership_query(context.record.name, context.epoch));
  Accepted accepted;
  for (std::size_t i = 0; i < context.tables.size(); ++i) {
    plan::MigratedTable& table = context.tables[i];
    pg::Transaction transaction(connection);
    owner.prove_ownership(connection);
    const auto now_named = catalog::read_table(connection, table.source.oid);
    connection.exec(
        fmt::format("LOCK TABLE {} IN ACCESS SHARE MODE", now_named.whole()));
    const catalog::Fingerprint now = catalog::read_whole_fingerprint(
        connection, table.source.oid, context.record.publication);
    if (table.fingerprint.holds(now)) continue;
    // All of it: what was not published for a while, --repair alone mends.
    refuse_changed(context, table.target, table.fingerprint, now);
    const bool rewritten = table.fingerprint.storage != now.storage;
    const bool relabelled =
        table.fingerprint.key_label_rows != now.key_label_rows;
    // With the new fingerprint or not at all: nobody who resumes may take for
    // copied, or for verified, what lay in the old file.
    if (rewritten) accept_new_storage(context, i, now);
    if (relabelled) accept_new_labels(context, table);
    table.fingerprint = now;
    set_table_start(connection, context.record.name, table.target.ordinal, now,
                    context.blocks[i], table.leaves);
    transaction.commit();
    if (rewritten) accepted.rewritten.push_back(i);
    accepted.labels = accepted.labels || relabelled;
  }
  context.make_guard();
  return accepted;
}

}  // namespace pgrecast::migration
