package panel

// The texts of the workspace's settings.
const (
	textSettings               = "Settings"
	textSettingsGeneral        = "General"
	textSettingsRecord         = "Activity record"
	textSettingsLanguageHelp   = "For people who have none of their own: such as en or de-CH. Left empty, it is English."
	textSettingsTimezoneHelp   = "For people who have none of their own: such as Europe/Berlin. Left empty, it is UTC."
	textSettingsCheckpoint     = "Send checkpoints to"
	textSettingsCheckpointHelp = "An e-mail address that gets a signed checkpoint of the activity record in every hour in which something happened. With one kept elsewhere, nobody can cut off the end of the record unseen. Left empty, nobody gets any."
	textSettingsChanged        = "Somebody else changed the settings in the meantime."
	textSettingsChangedHelp    = "Where their values differ from yours, they stand under the field. Save again to keep yours."
	textSettingsKeys           = "API keys"
	textSettingsMaxDays        = "Longest life of an API key, in days"
	textSettingsMaxDaysHelp    = "0 for no limit. It counts from when a token was issued and binds existing keys at once: those whose token is older stop working."
	textSettingsMaxDaysWrong   = "must be a whole number, 0 for no limit"
	textSettingsNoLimit        = "no limit"
)
