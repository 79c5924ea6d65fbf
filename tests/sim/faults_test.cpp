// Jobs on their way over two WebUIs that break in every way at random, with a journal that fails
// and a gateway that dies. What must hold is looked at at every step; in the end everything is
// mended, and then every job must come to its end. GATEWAY_SIM_SEED and GATEWAY_SIM_RUNS as in
// lifecycle_test.cpp.

#include "base/ids.hpp"
#include "support/sequences.hpp"
#include "support/work_world.hpp"

#include <boost/test/unit_test.hpp>

#include <map>
#include <sstream>

using namespace gateway;
using namespace gateway::test;
using namespace std::chrono_literals;
using core::job_state;

namespace {

constexpr auto limits_of_patience = 100s; // with a job that makes no progress
constexpr auto mended_after = 6h;         // at most, until everything has come to its end

enum class step_kind {
    submit,
    cancel,
    retry,
    kill_webui,
    restart_webui,
    lose_route,
    lose_extensions,
    freeze,
    deafen, // interrupts do nothing
    hide_port,
    reset_port,
    break_progress,
    break_lists,
    slow_down,
    spoil_job, // the next job ends in some bad way
    break_journal,
    crash,
    pass,
    count_,
};

struct step {
    step_kind what = step_kind::pass;
    std::uint64_t dice = 0;
};

class storm : work_world {
public:
    storm();
    ~storm();
    // Throws what went wrong.
    void run(const std::vector<step>& steps);
    std::size_t posts() const { return posts_; }

private:
    void take(const step& s);
    bool break_something(const step& s, scripted_webui& victim);
    void spoil_next(scripted_webui& victim, std::uint64_t dice);
    void undo_later(duration in, std::function<void()> how);
    void submit_one();
    void crash(std::uint64_t dice);
    void go_on(duration d);
    void mend();
    void begin_life();
    void heard_job(const heard& r, const scripted_webui& by);
    void heard_interrupt(const scripted_webui& by);
    void check_end();
    const core::job* some_job(std::uint64_t dice) const;
    bool is_final(const store::job_record& record) const
    {
        return core::is_final(record.job.state);
    }
    bool all_over() const;
    std::string scene() const;

    static net::task<> submit(storm& self, int life, std::string prompt);
    static net::task<> cancel(storm& self, core::job_key key);
    static net::task<> retry(storm& self, core::job_key key);

    scripted_webui second_{*this, wires.at("http://webui-b:7860")};
    net::task_group house_{ex()};
    std::vector<core::job> accepted_;
    std::map<std::string, core::job_key> by_prompt_;
    std::map<core::fence, int, bool (*)(const core::fence&, const core::fence&)> sent_{
        [](const core::fence& a, const core::fence& b) {
            return std::pair(a.job, a.attempt) < std::pair(b.job, b.attempt);
        }};
    struct posted {
        core::fence fence;
        int life = 0; // of the gateway; none when its reply is going to be a bad one
        steady_time when{};
    };
    std::map<const scripted_webui*, posted> last_; // what each WebUI was sent last
    std::map<const scripted_webui*, int> spoiled_; // answers that wait for their jobs
    std::multimap<steady_time, std::function<void()>> undo_;
    std::vector<std::string> wrong_;
    int life_ = 1, prompts_ = 0;
    std::size_t posts_ = 0;
};

storm::storm()
{
    auto& other = backends.emplace_back();
    other.calls.name = "webui-1";
    other.calls.url = "http://webui-b:7860";
    for (auto* one : {&webui, &second_}) {
        one->job_time = 3s;
        one->before = [this, one](const heard& r) -> std::optional<answer> {
            if (r.method == "POST" && r.path() == "/sdapi/v1/txt2img" &&
                scripted_webui::prompt_of(r).starts_with("job "))
                heard_job(r, *one);
            if (r.method == "POST" && r.path() == "/sdapi/v1/interrupt" && one->is_busy())
                heard_interrupt(*one);
            return std::nullopt;
        };
    }
    on_restart = [this] {
        stop();
        world::cancel(house_);
        fleet.reset();
    };
    begin_life();
}

storm::~storm()
{
    stop();
    world::cancel(house_);
    webui.before = second_.before = {};
}

void storm::begin_life()
{
    house_.spawn(jobs->keep_house());
    begin();
}

// --- what must hold when a job reaches a WebUI ---

void storm::heard_job(const heard& r, const scripted_webui& by)
{
    ++posts_;
    const auto prompt = scripted_webui::prompt_of(r);
    const auto said = [&](const std::string& what) { wrong_.push_back(prompt + " " + what); };
    if (by.is_busy())
        said("was sent to a WebUI that was busy");
    const auto row = std::find_if(journal->rows().begin(), journal->rows().end(), [&](auto& one) {
        return one.second.input.find('"' + prompt + '"') != std::string::npos;
    });
    if (row == journal->rows().end())
        return said("was sent before it was kept");
    const auto& job = row->second.record.job;
    if (job.state != job_state::in_progress)
        return said("was sent while it was " + std::string(core::to_text(job.state)));
    if (++sent_[job.current()] > 1)
        said("was sent twice in one attempt");
    const bool is_spoiled = spoiled_[&by] > 0 && spoiled_[&by]-- > 0;
    last_[&by] = {job.current(), is_spoiled ? 0 : life_, time.now()};
    std::vector<core::outcome> ended;
    for (const auto& attempt : row->second.record.attempts)
        if (attempt.ended)
            ended.push_back(*attempt.ended);
    if (!ended.empty() && core::decide(limits.retry, ended).step == core::next_step::fail)
        said("was sent again after " + std::string(core::to_text(ended.back())));
}

// Only for a job that is to be stopped, or that nobody waits for any more.
void storm::heard_interrupt(const scripted_webui& by)
{
    const auto& last = last_[&by];
    const auto row = journal->rows().find(last.fence.job);
    if (last.life != life_ || row == journal->rows().end())
        return;
    const auto v = jobs->find(last.fence.job, row->second.record.job.secret);
    const bool runs =
        v && v->job->state == job_state::in_progress && v->job->current() == last.fence;
    const bool may_have_stalled = time.now() - last.when > limits_of_patience;
    if (runs && !v->job->cancel_asked && !may_have_stalled)
        wrong_.push_back("job-" + std::to_string(last.fence.job) + " was interrupted unasked");
}

// --- clients ---

net::task<> storm::submit(storm& self, int life, std::string prompt)
{
    auto job = a_job(prompt);
    const auto kept = co_await self.jobs->submit(std::move(job));
    if (kept && life == self.life_) {
        self.accepted_.push_back(kept->job);
        self.by_prompt_[prompt] = kept->job.key;
    }
}

net::task<> storm::cancel(storm& self, core::job_key key)
{
    const auto until = self.time.now() + 2s;
    const auto ec = co_await self.jobs->cancel(key, until);
    (void)ec;
}

net::task<> storm::retry(storm& self, core::job_key key)
{
    const auto done = co_await self.jobs->retry(key);
    (void)done;
}

const core::job* storm::some_job(std::uint64_t dice) const
{
    return accepted_.empty() ? nullptr : &accepted_[dice % accepted_.size()];
}

// --- faults ---

void storm::undo_later(duration in, std::function<void()> how)
{
    undo_.emplace(time.now() + in, std::move(how));
}

bool storm::break_something(const step& s, scripted_webui& victim)
{
    const auto lasts = std::chrono::seconds(1 << (s.dice >> 16) % 9); // to about four minutes
    auto* const v = &victim;
    switch (s.what) {
    case step_kind::kill_webui:
        v->kill();
        undo_later(lasts, [v] { v->start(); });
        return true;
    case step_kind::restart_webui: v->restart(); return true;
    case step_kind::lose_route:
        v->api = false;
        undo_later(lasts, [v] { v->api = true; });
        return true;
    case step_kind::lose_extensions:
        v->extensions = false;
        undo_later(lasts, [v] { v->extensions = true; });
        return true;
    case step_kind::freeze:
        v->frozen = true;
        undo_later(lasts, [v] { v->frozen = false; });
        return true;
    case step_kind::deafen:
        v->interruptible = false;
        undo_later(lasts, [v] { v->interruptible = true; });
        return true;
    case step_kind::hide_port:
    case step_kind::reset_port:
        v->server().set_port(s.what == step_kind::hide_port ? fake_server::port::swallowing
                                                            : fake_server::port::resetting);
        undo_later(lasts, [v] { v->start(); });
        return true;
    case step_kind::break_progress:
        v->instead["GET /sdapi/v1/progress"] = answer(500, "Internal Server Error");
        v->instead["GET /sdapi/v1/progress"].after = s.dice % 2 == 0 ? 0s : 25s;
        undo_later(lasts, [v] { v->instead.erase("GET /sdapi/v1/progress"); });
        return true;
    case step_kind::break_lists:
        v->instead["GET /sdapi/v1/sd-models"] = answer(500, "Internal Server Error");
        undo_later(lasts, [v] { v->instead.erase("GET /sdapi/v1/sd-models"); });
        return true;
    case step_kind::slow_down:
        v->latency = 1500ms;
        undo_later(lasts, [v] { v->latency = {}; });
        return true;
    case step_kind::spoil_job: spoil_next(victim, s.dice); return true;
    case step_kind::submit:
    case step_kind::cancel:
    case step_kind::retry:
    case step_kind::break_journal:
    case step_kind::crash:
    case step_kind::pass:
    case step_kind::count_: return false;
    }
    return false;
}

void storm::spoil_next(scripted_webui& victim, std::uint64_t dice)
{
    const auto whole = scripted_webui::picture("Dream");
    answer cut(200, whole);
    cut.end = answer::ending::cut;
    cut.part = cut.head_size() + dice % whole.size();
    answer stalled = cut;
    stalled.end = answer::ending::stalled;
    const std::vector<answer> bad{
        {500,
         R"({"error":"OutOfMemoryError","detail":"","body":"","errors":"CUDA out of memory"})"},
        {500, R"({"error":"RuntimeError","detail":"","body":"","errors":"it broke"})"},
        {422, R"({"detail":[{"loc":["body"],"msg":"nonsense","type":"value_error"}]})"},
        {502, "<html>Bad Gateway</html>"},
        {200, R"({"images":[],"parameters":{},"info":"{}"})"},
        answer::reset_at(0),
        answer::reset_at(40),
        cut,
        stalled};
    ++spoiled_[&victim];
    const auto& one = bad[dice % bad.size()];
    const bool is_lost = one.end != answer::ending::whole; // the WebUI may be at work all the same
    victim.next_job(one, is_lost && dice / 16 % 2 == 0 ? 5s : 0s);
}

void storm::crash(std::uint64_t dice)
{
    ++life_;
    restart(dice % 4);
    begin_life();
}

// --- time ---

void storm::submit_one()
{
    const auto prompt = "job " + std::to_string(++prompts_);
    start(submit(*this, life_, prompt));
}

void storm::take(const step& s)
{
    auto& victim = s.dice / 4 % 2 == 0 ? webui : second_;
    if (break_something(s, victim))
        return go_on(std::chrono::milliseconds(s.dice % 1000));
    const auto* job = some_job(s.dice / 64);
    if (s.what == step_kind::submit)
        submit_one();
    else if (s.what == step_kind::cancel && job != nullptr)
        start(cancel(*this, job->key));
    else if (s.what == step_kind::retry && job != nullptr)
        start(retry(*this, job->key));
    else if (s.what == step_kind::break_journal) {
        static constexpr store::journal_errc ways[] = {
            store::journal_errc::io, store::journal_errc::full, store::journal_errc::unknown};
        const auto how = ways[s.dice % 3];
        journal->fail_when([](const store::operation&) { return true; }, how);
        undo_later(std::chrono::seconds(s.dice / 8 % 20), [this] { journal->fail_when({}); });
    } else if (s.what == step_kind::crash)
        crash(s.dice);
    static constexpr duration pauses[] = {0s, 200ms, 2s, 9s, 40s};
    go_on(pauses[s.what == step_kind::pass ? s.dice / 8 % 5 : s.dice / 8 % 3]);
}

void storm::go_on(duration d)
{
    const auto end = time.now() + d;
    while (!undo_.empty() && undo_.begin()->first <= end) {
        pass(std::max(duration{}, undo_.begin()->first - time.now()));
        const auto how = std::move(undo_.begin()->second);
        undo_.erase(undo_.begin());
        how();
        settle();
    }
    pass(std::max(duration{}, end - time.now()));
}

void storm::mend()
{
    while (!undo_.empty())
        go_on(undo_.begin()->first - time.now());
    journal->fail_when({});
    for (auto* one : {&webui, &second_}) {
        one->instead.clear();
        one->start();
    }
}

bool storm::all_over() const
{
    return std::all_of(journal->rows().begin(), journal->rows().end(),
                       [this](const auto& row) { return is_final(row.second.record); });
}

void storm::run(const std::vector<step>& steps)
{
    for (const auto& s : steps) {
        take(s);
        if (!wrong_.empty())
            break;
    }
    if (wrong_.empty()) {
        mend();
        if (!run_until([this] { return all_over(); }, mended_after))
            wrong_.push_back("not everything has come to its end although all is mended");
    }
    let_commits_pass();
    check_end();
    if (wrong_.empty())
        return;
    std::string all;
    for (const auto& what : wrong_)
        all += what + "\n";
    throw std::runtime_error(all + scene());
}

// --- the end ---

void storm::check_end()
{
    for (const auto& job : accepted_) {
        const auto row = journal->rows().find(job.key);
        const auto name = "job-" + std::to_string(job.key);
        if (row == journal->rows().end() || !shown(job)) {
            wrong_.push_back(name + " was accepted and is lost");
            continue;
        }
        if (shown(job)->state != row->second.record.job.state)
            wrong_.push_back(name + " is not shown as it is kept");
    }
    for (const auto& [prompt, key] : by_prompt_) {
        const auto row = journal->rows().find(key);
        if (row == journal->rows().end() || row->second.record.job.state != job_state::completed)
            continue;
        if (result_of(row->second.record.job).find('"' + prompt + '"') == std::string::npos)
            wrong_.push_back(prompt + " has the result of another job");
    }
    if (jobs->running() != 0 && all_over())
        wrong_.push_back(std::to_string(jobs->running()) + " jobs are said to run");
}

std::string storm::scene() const
{
    std::ostringstream text;
    for (const auto& backend : fleet->backends())
        text << backend.name << ": " << backend.state << ", " << backend.reason << "\n";
    for (const auto& [key, row] : journal->rows()) {
        text << "job-" << key << " " << core::to_text(row.record.job.state) << ":";
        for (const auto& attempt : row.record.attempts)
            text << " " << attempt.backend << " "
                 << (attempt.ended ? core::to_text(*attempt.ended) : "runs");
        const auto v = jobs->find(key, row.record.job.secret);
        text << " (shown as " << (v ? core::to_text(v->job->state) : "nothing") << ") "
             << (row.record.error) << "\n";
    }
    return text.str();
}

// --- sequences ---

std::vector<step> random_steps(std::uint64_t seed, std::size_t how_many)
{
    seeded_random random(seed);
    std::vector<step> steps;
    while (steps.size() < how_many) {
        const auto dice = random.next() >> 8;
        const auto pick = random.next() % 100;
        const auto any =
            static_cast<step_kind>(random.next() % static_cast<std::uint64_t>(step_kind::count_));
        const auto what = pick < 30 ? step_kind::submit : pick < 55 ? step_kind::pass : any;
        steps.push_back({what, dice});
    }
    return steps;
}

std::string outcome_of(const std::vector<step>& steps, std::size_t& posts)
{
    try {
        storm s;
        s.run(steps);
        posts += s.posts();
        return {};
    } catch (const std::exception& e) {
        return e.what();
    }
}

std::string report(std::uint64_t seed, std::vector<step> steps)
{
    static constexpr const char* names[] = {
        "submit",        "cancel",          "retry",       "kill webui", "restart webui",
        "lose route",    "lose extensions", "freeze",      "deafen",     "hide port",
        "reset port",    "break progress",  "break lists", "slow down",  "spoil job",
        "break journal", "crash",           "pass"};
    std::size_t ignored = 0;
    const auto first = outcome_of(steps, ignored);
    const auto fails = [&](const auto& fewer) { return !outcome_of(fewer, ignored).empty(); };
    steps = cut_down(std::move(steps), fails);
    std::ostringstream text;
    text << "seed " << seed << ": " << first << "\ncut down to:";
    for (const auto& s : steps)
        text << "\n  " << names[static_cast<std::size_t>(s.what)] << " " << s.dice;
    text << "\nwhich ends with: " << outcome_of(steps, ignored);
    return text.str();
}

} // namespace

BOOST_AUTO_TEST_SUITE(faults_)

BOOST_AUTO_TEST_CASE(whatever_breaks_every_job_comes_to_its_end_once_all_is_mended)
{
    const auto alone = number_from("GATEWAY_SIM_SEED", 0);
    const auto runs = alone != 0 ? 1 : number_from("GATEWAY_SIM_RUNS", 300);
    std::size_t posts = 0;
    for (std::uint64_t n = 1; n <= runs; ++n) {
        const auto seed = alone != 0 ? alone : n;
        auto steps = random_steps(seed, 25);
        if (!outcome_of(steps, posts).empty()) {
            BOOST_ERROR(report(seed, std::move(steps)));
            return;
        }
    }
    BOOST_TEST_MESSAGE(posts << " jobs sent in " << runs << " sequences");
    BOOST_TEST((alone != 0 || posts > runs));
}

BOOST_AUTO_TEST_SUITE_END()
