-- Pensions out of a pool, and pensions that go on for a survivor.

-- What the pension pool of a role was given for a pension at its start; one that has a reserve is paid by pools alone.
-- One that goes on after a death is a survivor's: whose it is, `heirs` say by `heir_no`, after which pension, `after_claim`. What
-- was overpaid of that is set off against what falls due before `arrears_until`, then against `set_off_bp` basis points of each payment.
-- `brought` is what was payable of the pension before and went over to the survivor, account by account: on the earlier one negative.
alter table pension_schedules
  add column reserve bigint not null default 0, add column after_claim bigint not null default 0,
  add column heir_no smallint not null default 0, add column set_off_bp smallint not null default 0,
  add column arrears_until date, add column pooled_with text not null default '', add column brought bigint[];
alter table pension_schedules add constraint pensions_of_survivors
  check ((heir_no <> 0) = (after_claim <> 0) and (heir_no = 0 or arrears_until is not null)) not valid;

-- What of an instalment was set off against what is owed back of the pension before: it does not become payable.
alter table pension_instalments add column recovered bigint not null default 0;
alter table pension_instalments add constraint recovered_is_positive check (recovered >= 0) not valid;

-- Whose instalments wait for a figure that is not known yet: [[rule, code of the refusal, what it names, pensions], ...].
alter table payroll_ranges add column recovered bigint not null default 0, add column waits jsonb not null default '[]';

-- A spouse who lived after the member dies on a day.
alter table heirs add column died_on date;
-- squawk-ignore ban-drop-constraint
alter table heirs drop constraint heirs_gone_check;
alter table heirs add constraint heirs_gone_check check (gone in ('', 'died-before', 'died-after', 'renounced', 'replaced')) not valid;
alter table heirs add constraint heirs_died_after check ((gone = 'died-after') = (died_on is not null)) not valid;
