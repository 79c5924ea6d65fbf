#include "tools/store.hpp"

#include "base/text.hpp"
#include "proto/result_scan.hpp"
#include "store/check.hpp"
#include "store/lock.hpp"
#include "store/spool.hpp"

#include <fcntl.h>

#include <algorithm>
#include <ostream>
#include <stdexcept>
#include <unordered_set>

namespace gateway::tools {

namespace {

using store::damage;

constexpr std::size_t files_told = 5;

// What is wrong with the file of a result; empty: nothing.
std::string trouble_with(const std::filesystem::path& file, const store::result_record& result)
{
    auto& fs = store::real_files();
    auto in = store::open_in(fs, file, O_RDONLY);
    if (!in)
        return in.error().message();
    proto::result_scan scan;
    store::checksum sum;
    std::vector<char> piece(std::size_t{256} * 1024);
    std::uint64_t size = 0;
    bool readable = true;
    for (;;) {
        const auto n = fs.read(in->fd(), piece.data(), piece.size(), size);
        if (!n)
            return n.error().message();
        if (*n == 0)
            break;
        const std::string_view bytes(piece.data(), *n);
        sum.add(bytes);
        readable = readable && scan.feed(bytes);
        size += *n;
    }
    if (size != result.size)
        return "it has " + std::to_string(size) + " bytes, its row says " +
               std::to_string(result.size);
    if (result.checksum && *result.checksum != sum.value())
        return "its bytes are not the ones that were stored";
    if (!readable || !scan.finish())
        return "it is no JSON: " + scan.error();
    // At the end of a reply that nothing is spliced into.
    if (result.splice != size && result.splice != scan.summary().closing_brace)
        return "its row splices at " + std::to_string(result.splice) + ", the brace is at " +
               std::to_string(scan.summary().closing_brace);
    return {};
}

// Files that no row names. The next start removes them, so they are no damage.
std::vector<std::string> strangers(const std::filesystem::path& folder,
                                   const store::journal_report& journal)
{
    std::unordered_set<std::string> named;
    for (const auto& [key, result] : journal.results)
        named.insert(result.file);
    std::vector<std::string> found;
    const auto all = store::real_files().list(folder);
    if (!all)
        return found;
    for (const auto& entry : *all) {
        if (!entry.is_folder && !named.contains(entry.name))
            found.push_back(entry.name);
    }
    std::sort(found.begin(), found.end());
    return found;
}

void print_jobs(const store::journal_report& journal, std::ostream& out)
{
    std::uint64_t all = 0;
    for (const auto& [state, count] : journal.jobs)
        all += count;
    out << "  jobs     " << all;
    const char* before = ": ";
    for (const auto& [state, count] : journal.jobs) {
        out << before << count << ' ' << core::to_text(state);
        before = ", ";
    }
    out << '\n';
}

void print_names(const std::vector<std::string>& names, std::uint64_t count, std::ostream& out)
{
    const char* before = "";
    for (const auto& name : names) {
        out << before << name;
        before = ", ";
    }
    if (count > names.size())
        out << " and " << count - names.size() << " more";
    out << '\n';
}

void print_damage(const std::vector<damage>& found, std::ostream& out)
{
    if (found.empty()) {
        out << "No damage found.\n";
        return;
    }
    out << "DAMAGE:\n";
    for (const auto& d : found) {
        out << "  " << d.count << ' ' << d.what << ": ";
        print_names(d.rows, d.count, out);
    }
    out << "Other jobs are not affected. To start with an empty queue, move journal.db, "
           "journal.db-wal and spool/ away.\n";
}

int check_all(const std::filesystem::path& data_dir, std::ostream& out)
{
    const auto lock = store::hold_quietly(data_dir, store::real_files());
    auto journal = store::check_journal((data_dir / "journal.db").string());
    const auto spool = data_dir / "spool";
    out << data_dir.string() << "\n  journal  schema " << journal.schema << ", "
        << format_bytes(journal.bytes) << '\n';
    print_jobs(journal, out);

    damage broken{"results that cannot be given out", {}, 0};
    std::uint64_t bytes = 0;
    for (const auto& [key, result] : journal.results) {
        bytes += result.size;
        const auto why = trouble_with(spool / result.file, result);
        if (why.empty())
            continue;
        if (++broken.count <= files_told)
            broken.rows.push_back("job " + std::to_string(key) + " (" + result.file + ": " + why +
                                  ")");
    }
    if (broken.count > 0)
        journal.found.push_back(std::move(broken));
    out << "  results  " << journal.results.size() << ", " << format_bytes(bytes) << '\n';
    const auto unnamed = strangers(spool, journal);
    if (!unnamed.empty() && journal.found.empty()) {
        out << "  spool    " << unnamed.size() << " files of no job, removed at the next start: ";
        print_names({unnamed.begin(), unnamed.begin() + static_cast<std::ptrdiff_t>(
                                                            std::min(files_told, unnamed.size()))},
                    unnamed.size(), out);
    }
    print_damage(journal.found, out);
    return journal.found.empty() ? 0 : 1;
}

} // namespace

int check_store(const std::filesystem::path& data_dir, std::ostream& out)
{
    try {
        return check_all(data_dir, out);
    } catch (const std::runtime_error& failure) {
        out << failure.what() << '\n';
        return 2;
    }
}

} // namespace gateway::tools
