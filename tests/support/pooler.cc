#include "support/pooler.h"

#include <array>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <poll.h>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace pgrecast::test {
namespace {

constexpr int kLookAgainMs = 100;
constexpr std::size_t kLengthBytes = 4;

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    throw std::runtime_error("too long for a socket: " + path);
  }
  path.copy(address.sun_path, path.size());
  return address;
}

// Plain reads and writes of whole messages; false when the peer is gone.
bool read_all(int fd, char* to, std::size_t size,
              const std::atomic<bool>& over) {
  while (size > 0) {
    pollfd ready{.fd = fd, .events = POLLIN, .revents = 0};
    if (over) return false;
    if (poll(&ready, 1, kLookAgainMs) == 0) continue;
    const ssize_t got = read(fd, to, size);
    if (got <= 0) return false;
    to += got;
    size -= static_cast<std::size_t>(got);
  }
  return true;
}

bool write_all(int fd, const std::string& bytes) {
  std::size_t at = 0;
  while (at < bytes.size()) {
    const ssize_t sent =
        send(fd, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
    if (sent <= 0) return false;
    at += static_cast<std::size_t>(sent);
  }
  return true;
}

// A message with its type byte, if it has one, and its length.
std::string read_message(int fd, bool typed, const std::atomic<bool>& over) {
  const std::size_t head = kLengthBytes + (typed ? 1 : 0);
  std::string message(head, '\0');
  if (!read_all(fd, message.data(), head, over)) return "";
  std::uint32_t length = 0;
  for (std::size_t i = head - kLengthBytes; i < head; ++i) {
    length = (length << 8U) | static_cast<unsigned char>(message[i]);
  }
  message.resize(head + length - kLengthBytes);
  if (!read_all(fd, message.data() + head, message.size() - head, over)) {
    return "";
  }
  return message;
}

int connect_to(const std::string& path) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_un address = address_of(path);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address),  // NOLINT
              sizeof address) != 0) {
    throw std::runtime_error("no connection to " + path);
  }
  return fd;
}

}  // namespace

Pooler::Pooler(const std::string& server_socket)
    : server_socket_(server_socket) {
  std::string folder = "/tmp/pgrecast_pooler_XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) throw std::runtime_error("mkdtemp");
  folder_ = folder;
  listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_un address = address_of(folder_ + "/.s.PGSQL.5432");
  if (bind(listener_, reinterpret_cast<const sockaddr*>(&address),  // NOLINT
           sizeof address) != 0 ||
      listen(listener_, SOMAXCONN) != 0) {
    throw std::runtime_error("the pooler cannot listen");
  }
  acceptor_ = std::thread([this] { accept_all(); });
}

Pooler::~Pooler() {
  over_ = true;
  acceptor_.join();
  for (std::thread& client : clients_) client.join();
  close(listener_);
  std::filesystem::remove_all(folder_);
}

void Pooler::accept_all() {
  while (!over_) {
    pollfd ready{.fd = listener_, .events = POLLIN, .revents = 0};
    if (poll(&ready, 1, kLookAgainMs) <= 0) continue;
    const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client >= 0) clients_.emplace_back([this, client] { serve(client); });
  }
}

void Pooler::serve(int client) const {
  std::array<int, 2> servers{connect_to(server_socket_),
                             connect_to(server_socket_)};
  // Both sessions begin as the client wants its own to; it hears of the first.
  const std::string startup = read_message(client, false, over_);
  bool alive = !startup.empty();
  for (std::size_t i = 0; alive && i < servers.size(); ++i) {
    alive = write_all(servers.at(i), startup);
    for (bool ready = false; alive && !ready;) {
      const std::string message = read_message(servers.at(i), true, over_);
      alive = !message.empty();
      ready = alive && message.front() == 'Z';
      if (alive && i == 0) alive = write_all(client, message);
    }
  }
  std::size_t turn = 0;
  while (alive && !over_) {
    const int server = servers.at(turn);
    std::array<pollfd, 2> ready{
        pollfd{.fd = client, .events = POLLIN, .revents = 0},
        pollfd{.fd = server, .events = POLLIN, .revents = 0}};
    if (poll(ready.data(), ready.size(), kLookAgainMs) <= 0) continue;
    if (ready[0].revents != 0) {
      const std::string message = read_message(client, true, over_);
      alive = !message.empty() && write_all(server, message);
    } else {
      const std::string message = read_message(server, true, over_);
      alive = !message.empty() && write_all(client, message);
      // ReadyForQuery outside of a transaction: the next one takes the other.
      if (alive && message.front() == 'Z' && message.back() == 'I') turn ^= 1U;
    }
  }
  for (const int server : servers) close(server);
  close(client);
}

}  // namespace pgrecast::test
