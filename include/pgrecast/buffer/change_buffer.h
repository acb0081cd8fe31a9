#pragma once

#include "pgrecast/base/lsn.h"
#include "pgrecast/base/snapshot.h"
#include "pgrecast/base/xid.h"
#include "pgrecast/buffer/identity.h"
#include "pgrecast/buffer/sealed_keys.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>

namespace pgrecast {

// For every key changed since the copy's start, the last transaction that
// changed it; and the position in the WAL up to which that is complete. On
// disk, in RocksDB, so that the server can let go of its WAL.
//
// Keys are the bytes that KeyCodec makes, tables are ordinals; no SQL here.
//
// Generations. The receiver writes into the open generation. seal() closes it
// and opens the next; the closed ones never change again, so a round can read
// them at leisure, and forget() drops them as a whole. What the round's
// snapshot did not see is carried over into a generation that lies between
// those and the open one. Where a key stands in several, the newest counts:
// so nothing that the receiver does can race with forgetting. Generations that
// a crash left count as sealed or open just as they were.
//
// Threads. Members marked [receiver] belong to the one thread that reads the
// stream, those marked [refresher] to the one that runs rounds; both at the
// same time. All others may be called by any thread at any time. note_*()
// mostly touch memory only, but the one that fills it writes some MB to disk,
// and waits there when the disk cannot keep up: that is the back pressure.
//
// Errors. Every member that touches the disk throws StorageError. After a
// failed write nothing more is written and every later attempt throws again:
// open the buffer anew once the disk is mended. Nothing is ever confirmed that
// was not synced.
//
// Memory: about 100 MB, whatever the number of keys.
class ChangeBuffer {
 public:
  // Whether an entry stays dirty after the round that is about to be forgotten.
  // `key` is empty for a truncate mark. Must not throw, nor call the buffer.
  using Keep =
      std::function<bool(TableId table, std::string_view key, Xid64 xid)>;

  // Makes a new, empty buffer; the folder (mode 0700) must not exist or be
  // empty. The position is `start`: what came before is none of its business.
  // Throws StorageError.
  static ChangeBuffer create(const std::filesystem::path& path,
                             const BufferIdentity& identity, Lsn start);

  // Opens what is there, at the last position that was complete on disk.
  // Throws ChangesLost where there is no buffer, or it is another's (naming
  // each field that differs); Refused where a newer pgrecast wrote it;
  // StorageError where it is in use, cannot be read or is damaged.
  static ChangeBuffer open(const std::filesystem::path& path,
                           const BufferIdentity& expected);

  // Removes a buffer and its folder. What is not ours stays, and then the
  // folder too. What a crash within create() or destroy() left is removed as
  // well; nothing is done where there is no folder. Throws StorageError for a
  // folder that has no buffer's identity, and while another process uses it.
  static void destroy(const std::filesystem::path& path);

  ChangeBuffer(const ChangeBuffer&) = delete;
  ChangeBuffer& operator=(const ChangeBuffer&) = delete;
  ChangeBuffer(ChangeBuffer&&) noexcept;
  ChangeBuffer& operator=(ChangeBuffer&&) noexcept;
  // Closes the files. Does not sync: what was not synced will be sent again.
  ~ChangeBuffer();

  // [receiver] A transaction that the stream says is committed changed this
  // key. Transactions come in commit order, so the last one noted for a key
  // counts, whichever xid is greater.
  void note_key(TableId table, std::string_view key, Xid64 xid);

  // [receiver] Such a transaction truncated the table.
  void note_truncate(TableId table, Xid64 xid);

  // [receiver] The transaction is whole: all of its changes were noted. Its
  // commit record lies at `commit_lsn`, which must be above last_commit_lsn(),
  // and ends at `end_lsn`, the new position.
  void commit(Lsn commit_lsn, Lsn end_lsn);

  // [receiver] Nothing is pending on the server below `position` (a keepalive
  // on an idle database). Ignored when it is not ahead, and while a transaction
  // is noted in part: a keepalive in its middle may already lie behind its
  // commit.
  void advance(Lsn position);

  // The last whole transaction. After a resume the server may send
  // transactions again: skip those with a commit LSN up to this.
  Lsn last_commit_lsn() const;

  // The end of the last whole transaction, or what advance() said.
  Lsn position() const;

  // Makes everything durable that is whole by now and returns the position
  // that may be confirmed to the server. Costs nothing if nothing is new.
  Lsn sync();

  // What the last sync() said; never goes back.
  Lsn durable_position() const;

  // [refresher] Closes the open generation: all that was noted before is in
  // the view that it returns, what is noted later is not.
  SealedKeys seal();

  // [refresher] The round over `sealed` is committed durably: drops all of it
  // but for the entries that `keep` wants. `sealed` must be from the last
  // seal(). Durable when it returns; after a crash on the way, all of it is
  // still there. `keep` sees each key's last transaction, and once more, with
  // its own xid, a mark that note_dirty() made.
  void forget(SealedKeys&& sealed, const Keep& keep);

  // [refresher] The same, keeping what `snapshot` does not see: the visibility
  // rule. The snapshot must be that of the round, or an older one.
  void forget(SealedKeys&& sealed, const Snapshot& snapshot);

  // Dirties a key ourselves (verification found a difference): it stays dirty
  // until a forgotten round's snapshot sees `xid` (Xid64{} is seen by all).
  // Kept apart from the receiver's entry for the same key, so that neither can
  // shorten the life of the other. Durable with the next sync().
  void note_dirty(TableId table, std::string_view key, Xid64 xid);

  // The last transaction that dirtied the key (or note_dirty()'s xid), if it is
  // dirty: open or sealed, in memory or on disk.
  std::optional<Xid64> is_dirty(TableId table, std::string_view key) const;

  // How many keys of a table, or of all, are dirty: within some 5 %, without
  // touching the disk.
  std::uint64_t dirty_estimate(TableId table) const;
  std::uint64_t dirty_estimate() const;

  // What the folder's files take.
  std::uint64_t bytes_on_disk() const;

 private:
  class Impl;
  explicit ChangeBuffer(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace pgrecast
