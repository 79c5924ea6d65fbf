#pragma once

// A long text that is never in memory as a whole: literals and ranges of spool files, read one
// after the other. A stored result on its way to whoever wants it is one.

#include "store/spool.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace gateway::store {

class recipe {
public:
    void add(std::string text);
    void add(const spool_file& file, std::uint64_t from, std::uint64_t to);
    // A whole file with `extra` in it at `splice`.
    void add_spliced(const spool_file& file, std::uint64_t splice, std::string extra);

    std::uint64_t size() const { return size_; }
    // Fills `into` from where the last read ended; 0 is the end. io_error when a file is shorter
    // than it should be.
    net::task<result<std::size_t>> read(std::span<char> into);
    // The next read begins at the start again.
    void rewind();

private:
    struct piece {
        std::string text;
        spool_file file; // instead of the text
        std::uint64_t offset = 0;
        std::uint64_t length = 0;
    };

    std::vector<piece> pieces_;
    std::uint64_t size_ = 0;
    std::size_t at_ = 0;     // the piece being read
    std::uint64_t done_ = 0; // of it
};

} // namespace gateway::store
