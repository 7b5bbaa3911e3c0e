"""Apply caltables: from an incoming MS to a calibrated one."""
