#include "support/pooler.h"

#include "support/unix_socket.h"

#include <array>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <poll.h>
#include <stdexcept>
#include <sys/socket.h>
#include <unistd.h>

namespace pgrecast::test {
namespace {

constexpr int kLookAgainMs = 100;
constexpr std::size_t kLengthBytes = 4;

// Reads all of it; false when the peer is gone.
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

}  // namespace

Pooler::Pooler(const std::string& server_socket)
    : server_socket_(server_socket) {
  std::string folder = "/tmp/pgrecast_pooler_XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) throw std::runtime_error("mkdtemp");
  folder_ = folder;
  listener_ = listen_on(folder_ + kSocketName);
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
