#pragma once

// What the tables' statements have in common: preparing and running them, and numbers for what
// SQLite has no type for. Private to store.

#include "store/journal.hpp"

#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>

namespace gateway::store {

// A prepared statement whose parameters are given when it is run. They must live until then.
class prepared {
public:
    prepared(SQLite::Database& db, const char* sql) : statement_(db, sql) {}

    // Returns the number of rows changed.
    template <class... Args> int run(const Args&... args)
    {
        start(args...);
        const int changed = statement_.exec();
        statement_.tryReset();
        return changed;
    }
    template <class... Args> void start(const Args&... args)
    {
        statement_.tryReset(); // a failed run is not told twice
        int place = 0;
        (bind(++place, args), ...);
    }
    bool next() { return statement_.executeStep(); }
    std::int64_t integer(int column) { return statement_.getColumn(column).getInt64(); }
    std::string text(int column) { return statement_.getColumn(column).getString(); }
    bool is_null(int column) { return statement_.isColumnNull(column); }
    void stop() { statement_.tryReset(); }

private:
    struct blob_view {
        const std::string& bytes;
    };
    friend blob_view as_blob(const std::string& bytes);

    void bind(int place, std::int64_t value) { statement_.bind(place, value); }
    void bind(int place, const std::optional<std::uint32_t>& value)
    {
        value ? statement_.bind(place, std::int64_t{*value}) : statement_.bind(place);
    }
    void bind(int place, const std::string& text) { statement_.bindNoCopy(place, text); }
    void bind(int place, const blob_view& blob)
    {
        statement_.bindNoCopy(place, blob.bytes.data(), static_cast<int>(blob.bytes.size()));
    }

    SQLite::Statement statement_;
};

// Bits of jobs.flags.
constexpr std::int64_t flag_sync = 1;
constexpr std::int64_t flag_low_priority = 2;
constexpr std::int64_t flag_cancel_asked = 4;

inline std::int64_t number(wall_time t) { return t.time_since_epoch().count(); }
inline std::int64_t number(std::uint64_t n) { return static_cast<std::int64_t>(n); }
template <class Enum>
    requires std::is_enum_v<Enum>
std::int64_t number(Enum e)
{
    return static_cast<std::int64_t>(e);
}
inline wall_time time(std::int64_t ms) { return wall_time(wall_duration(ms)); }

[[noreturn]] inline void damaged(const char* table, std::int64_t key)
{
    throw std::runtime_error("row " + std::to_string(key) + " of table " + table +
                             " makes no sense");
}

template <class Enum>
Enum checked(std::int64_t value, Enum last, const char* table, std::int64_t key)
{
    if (value < 0 || value > number(last))
        damaged(table, key);
    return static_cast<Enum>(value);
}

} // namespace gateway::store
