-- Which day's price a closed dealing takes: fixed at its cut-off, by the rules of that day. Until now: the first after it.
alter table dealings add column priced_by text not null default 'next', add column price_lag smallint not null default 0;
alter table dealings add constraint dealings_priced_by check (priced_by in ('forward', 'next', 'historic') and price_lag between 0 and 10) not valid;
