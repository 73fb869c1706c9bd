"""Rules that cannot be are refused where they are written, with a sentence that says why."""

import pytest

from tests.engine.benefits.books import problems_of

ORDER = 'order = { pots = ["open"], pots_by = "in-order", origins = ["own"], origins_by = "in-order" }'
FEE = 'kind = "fee"\nid = "fee"\ncharged = "year"\npayee = "x"\npart_period = "whole"\nrank = 1\nwhen_short = "owe"\nrounding = "down"\n'
LOAN = (
    'kind = "loan"\nid = "loan"\nbase = { pots = ["open"], pots_by = "in-order", origins = ["own"], origins_by = "in-order" }\n'
    'least_months_in_scheme = 0\none_at_a_time = true\nevery_months = 1\nmost_instalments = 9\ninterest_to = "member"\n'
    'repays_first = "interest"\ndefault_after_months = 3\non_default = "freeze"\nrounding = "down"\n'
)
COVER = 'kind = "cover"\nid = "cover"\nsums = { death = "1" }\npayer = "state"\nnet_of_reversals = true\n'
OPTION = f'kind = "retirement-option"\nid = "option"\ngrounds = ["retirement"]\n{ORDER}\nlump_rounding = "down"\n'
PENSION = 'kind = "pension"\nid = "pension"\nevery_months = 1\ndue = "in-advance"\npay_day = "day-of-start"\nrounding = "down"\n'
EXIT = 'kind = "early-exit"\nid = "exit"\nground = "g"\ncounted_from = "joining"\nleap_day = "1-march"\npays = ["own"]\nforfeited_to = "x"\n'
ROUTE = 'kind = "payout-route"\nid = "route"\nrail = "wallet"\nrank = 1\n'
LIMIT = (
    'kind = "time-limit"\nid = "limit"\nact = "a"\nstarts = "s"\ncount = 1\nrest_days = []\nclosed_last_day = "stays"\n'
)
TRUST = 'kind = "minor-trust"\nid = "trust"\ntrustee = "t"\nleap_day = "1-march"\nrounding = "down"\nearns = "fund"\n'
TAX = (
    'kind = "exit-tax"\nid = "tax"\non_grounds = ["g"]\nmethod = "first-in"\ntaxed = "all"\npre_tax_only = false\n'
    'years_of = "joining"\nleap_day = "1-march"\nrounding = "down"\npaid_to = "x"\n'
)
REMINDER = (
    'kind = "reminder"\nid = "the-r"\ntrigger = "birthday"\nsend_at = "09:00"\nquiet_from = "20:00"\nquiet_until = "07:00"\n'
    'channels = ["sms"]\nlanguage = "member"\ntemplate = "t"\nmost_in_30_days = 1\n'
)
MOVE = 'kind = "product-move"\nid = "the-m"\nfrom_product = "a"\npots = { a = "b" }\nmoves_as = "money"\nboth_dates = "earlier"\nboth_choices = "moved"\n'


CASES = [
    (f'{FEE}taken_from = "cash"\n{ORDER}', "one of amount, percent and bands"),
    (f'{FEE}amount = "1"\npercent = "1"\npercent_of = "assets"\ntaken_from = "cash"\n{ORDER}', "one of amount"),
    (f'{FEE}percent = "1"\ntaken_from = "cash"\n{ORDER}', "percent needs percent_of"),
    (f'{FEE}amount = "1"\ntaken_from = "cash"', "order is needed"),
    (f'{FEE}bands = [{{ from_balance = "0", amount = "1" }}]\ntaken_from = "billed"', "bands need banding"),
    (f'{FEE}bands = [{{ from_balance = "0", amount = "1" }}]\nbanding = "slices"\ntaken_from = "billed"', "percent in each"),
    (f'{FEE}bands = [{{ from_balance = "0" }}]\nbanding = "whole"\ntaken_from = "billed"', "either amount or percent"),
    ('kind = "fee-cap"\nid = "cap"\nfees = ["fee"]\nper = "charge"', "either most, or table"),
    (f'{LOAN}form = "loan"\npercent = "1"\nschedule = "at-end"\ninterest_on = "flat"\nrepaid_to = "own-pot"', "ceiling_bp"),
    (f'{LOAN}form = "pledge"\nceiling_bp = 1\nschedule = "at-end"\ninterest_on = "flat"\nrepaid_to = "own-pot"', "to the lender"),
    (f'{LOAN}form = "loan"\nceiling_bp = 1\nschedule = "at-end"\ninterest_on = "flat"\nrepaid_to = "own-pot"', "needs percent"),
    (f'{LOAN}form = "loan"\nceiling_bp = 1\npercent = "1"\nschedule = "equal-instalments"\ninterest_on = "flat"\nrepaid_to = "own-pot"', "flat interest"),
    (f'{COVER}covers = "next-year"', "one of least_total"),
    (f'{COVER}covers = "months"\nleast_total = "1"', "needs months"),
    (f'{COVER}covers = "next-year"\nleast_total = "1"\nleast_payment = "1"', "needs least_payments"),
    ('kind = "waiting-period"\nid = "the-w"\nbenefits = ["b"]\nmonths = 1\ncounts = "months-paid"\nnet_of_reversals = true', "least_in_month is needed"),
    (f'{OPTION}least_lump_bp = 2\nmost_lump_bp = 1\nrest = "annuity"', "above most_lump_bp"),
    (f'{OPTION}least_lump_bp = 0\nmost_lump_bp = 1\nrest = "none"', "one lump sum"),
    (f'{OPTION}least_lump_bp = 0\nmost_lump_bp = 1\nrest = "instalments"', "needs instalments"),
    (f'{PENSION}form = "fixed"', "needs amount"),
    (f'{PENSION}form = "by-table"', "needs table and column"),
    (f'{PENSION}form = "fixed"\namount = "1"\nleast = "1"', "below_least"),
    (f'{PENSION}form = "fixed"\namount = "1"\nleast = "1"\nbelow_least = "topped-up"', "needs tops_up"),
    (f'{PENSION}form = "fixed"\namount = "1"\nmost = "1"', "above_most"),
    (f'{EXIT}from_years = 5\nuntil_years = 5\nincome = "fund"', "is not above"),
    (f'{EXIT}from_years = 0\nincome = "higher"', "need benchmark"),
    ('kind = "spouse-continuation"\nid = "the-s"\npension_bp = 1\nrounding = "down"\nbefore_benefit = ["contribute-on"]\nleap_day = "1-march"', "contributes_until_age"),
    ('kind = "corpus"\nid = "the-c"\nafter = "member"\nto = "nominees"\nwithout_nominee = "heirs"\ntable = "t"', "go together"),
    (f'{ROUTE}name_check = "before-each-payment"\naccount = "any"', "least_match_bp"),
    (f'{ROUTE}name_check = "none"\naccount = "any"\nexception_documents = ["d"]', "that-paid-in"),
    (f'{LIMIT}unit = "hours"\nstart_day_counts = true\nconsequence = "reported"', "hours run on"),
    (f'{LIMIT}unit = "months"\nstart_day_counts = true\nconsequence = "interest"', "table interest"),
    (f"{TRUST}releases = [{{ at_age = 18, share_bp = 5000 }}]", "of the whole"),
    (f"{TRUST}releases = [{{ at_age = 21, share_bp = 5000 }}, {{ at_age = 18, share_bp = 10000 }}]", "rise in age"),
    (f'{TAX}bands = [{{ from_years = 1, percent = "1" }}]', "begins at 0"),
    ('kind = "status-ladder"\nid = "the-l"\ncounted_from = "last-contribution"\nfirst_status = "active"\nsteps = [{ status = "b", after_months = 2 }, { status = "a", after_months = 1 }]', "rise in months"),
    ('kind = "reactivation"\nid = "the-r"\nstatuses = ["a"]\ndues = "first-payment"\nstatus = "active"', "least_payment"),
    (f"{REMINDER}most_times = 1", "days_before or days_after"),
    (f"{REMINDER}days_after = 1\nmost_times = 2", "repeat_days"),
    (f'{MOVE}act = "re-designation"\nkeeps = []\nneeds_consent = true', "the law's"),
    (f'{MOVE}act = "switch"\nkeeps = ["nominees", "nominees"]\nneeds_consent = true', "twice"),
    (f'{FEE}amount = "1"\ntaken_from = "cash"\norder = {{ pots = ["a", "a"], pots_by = "in-order", origins = ["own"], origins_by = "in-order" }}', "may stand once"),
    ('kind = "guarantee-period"\nid = "the-g"\nleap_day = "1-march"\npayee = "heirs"\nshare_bp = 1\nrounding = "down"', "until_age, or years"),
    ('kind = "unclaimed"\nid = "the-u"\ncounted_from = "last-activity"\ndormant_years = 5\nnotice_days = 30\nhanded_over = "02-29"\nhanded_to = "x"\nleap_day = "1-march"', "every year has"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "reason"), CASES, ids=[f"because: {reason}" for _, reason in CASES])
def test_a_rule_that_cannot_be_is_refused(body: str, reason: str) -> None:
    found = problems_of(f"[[rule]]\n{body}\n")
    assert any(reason in one for one in found), found
