#pragma once

#include "pgrecast/pg/connection.h"

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace pgrecast::pg {

// What START_REPLICATION of a logical slot sends: payloads of CopyData, opaque
// here (pgoutput knows them). One thread, which owns it and its session.
class ReplicationStream {
 public:
  // One payload, freed with the object.
  class Payload {
   public:
    Payload(char* bytes, int size) : bytes_(bytes), size_(size) {}
    std::string_view bytes() const {
      return {bytes_.get(), static_cast<std::size_t>(size_)};
    }

   private:
    struct Free {
      void operator()(char* bytes) const noexcept;
    };
    std::unique_ptr<char, Free> bytes_;
    int size_;
  };

  // Starts streaming from where the slot stands (position 0/0: the server
  // knows; a newer one would silently skip changes), protocol 1, text, with
  // logical messages. `connection` is one of Kind::kReplication.
  //
  // Throws SqlError: 42704 no such slot, 55006 in use by another session,
  // 55000 the slot lost WAL that it needs.
  ReplicationStream(Connection connection, const std::string& slot,
                    const std::string& publication);

  // The next payload if one is there already; never waits. Throws SqlError or
  // ConnectionError when the stream has ended.
  std::optional<Payload> try_receive();

  // Until try_receive() may have something, or the deadline: false.
  bool wait(Deadline deadline) { return connection_.wait_readable(deadline); }

  // Sends a payload to the server (status updates), all of it, within half a
  // minute. Throws ConnectionError, TimedOut.
  void send(std::string_view payload);

 private:
  Connection connection_;
};

}  // namespace pgrecast::pg
